"""What the ymls compare, read from records."""

import copy

import pytest

from book.tools import BookError
from book.tools.site.compare import comparisons
from book.tools.site.verdicts import accepted
from shared.record import describe

BLOCK = {
    "data": "toys",
    "kind": "images",
    "problem": "wrong labels",
    "metric": "accuracy at {at}",
    "unit": "%",
    "better": "higher",
    "method": "ours",
    "at": [{"share": 20, "word": "20"}, {"share": 40, "word": "40"}],
    "arms": {"plain": {"arm": "CE"}, "ours": {"arm": "ours, {at}"}},
}


def record(scale="small", drop=()):
    arms = [
        {"arm": "CE", "metric": "accuracy at 20", "values": [70.0, 72.0]},
        {"arm": "ours, 20", "metric": "accuracy at 20", "values": [80.0, 82.0]},
        {"arm": "CE", "metric": "accuracy at 40", "values": [60.0, 62.0]},
        {"arm": "ours, 40", "metric": "accuracy at 40", "values": [50.0, 52.0]},
    ]
    return {"results": {"scale": scale, "arms": [a for a in arms if a["arm"] not in drop]}}


def test_methods_come_best_first_with_their_means():
    found = comparisons("toy", {"compare": [BLOCK]}, record())
    assert [c.label for c in found] == ["20 % wrong", "40 % wrong"]
    assert [(m.method, m.mean) for m in found[0].measured] == [("ours", 81.0), ("plain", 71.0)]
    assert [m.method for m in found[1].measured] == ["plain", "ours"], "a rival that is ahead stands first"
    assert found[0].measured[0].low < 81 < found[0].measured[0].high


def test_where_lower_is_better_the_lowest_comes_first():
    found = comparisons("toy", {"compare": [{**BLOCK, "better": "lower"}]}, record())
    assert [m.method for m in found[0].measured] == ["plain", "ours"]


def test_a_renamed_arm_fails_at_small_and_is_left_out_at_smoke():
    with pytest.raises(
        BookError, match="toy.yml compares the arm 'ours, 20 | accuracy at 20', which its record has not"
    ):
        comparisons("toy", {"compare": [BLOCK]}, record(drop=["ours, 20"]))
    assert len(comparisons("toy", {"compare": [BLOCK]}, record("smoke", ["ours, 20"]))) == 1


@pytest.mark.parametrize("slug", accepted())
def test_every_paper_says_what_it_compares_and_its_record_has_it(slug):
    info, whole = describe(slug), accepted()[slug]
    assert info["use"]["needs"] and info["compare"]
    wanted = sum(len(block.get("at", [0])) for block in info["compare"])
    found = comparisons(slug, info, whole)
    assert len(found) == wanted
    for block in info["compare"]:
        assert block["method"] in block["arms"], f"{block['method']} is no arm"
    lost = copy.deepcopy(whole)
    arms = lost["results"]["arms"]
    place = next(iter(info["compare"][0]["arms"].values()))
    word = info["compare"][0].get("at", [{"word": ""}])[0]["word"]
    arms[:] = [a for a in arms if a["arm"] != place["arm"].replace("{at}", word)]
    with pytest.raises(BookError, match="compares the arm"):
        comparisons(slug, info, lost)
