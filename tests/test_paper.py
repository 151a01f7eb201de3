"""A paper's run: what it accepts, what it refuses and with which sentence, what it writes."""

import json
import math
import os

import numpy as np
import pytest
import yaml

from book.tools import ROOT
from shared import record as records
from shared.paper import Paper
from shared.record import RecordError, describe, read_record, write_json
from shared.show import table_html

CLAIMS = [
    {"id": "better", "kind": "difference"},
    {"id": "grows", "kind": "trend"},
    {"id": "bounded", "kind": "proportion", "bound": 10.0, "unit": "%", "direction": "lower"},
    {"id": "same", "kind": "exact"},
    {"id": "cross", "kind": "interaction"},
]


def info(**extra):
    common = {"sentence": "A claim that is tested.", "metric": "accuracy", "unit": "points", "direction": "higher"}
    return {
        "slug": "toy", "short": "Toy", "title": "A toy", "authors": ["A. Uthor"], "venue": "V", "year": 2020, "part": "trust",
        "code": None, "finding": "It is about a toy.", "published_run": "Not stated.", "fidelity": "method",
        "fidelity_note": "nothing is missing.", "data": {"smoke": [], "small": [], "full": []}, "needs": [],
        "seeds": {"smoke": 3, "small": 5, "full": 1}, "cost": {"full": "a second", "hours": 0.01, "device": "cpu"},
        "claims": [{**common, "delta": 1.0, "paper": [], **c} for c in CLAIMS], **extra,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of papers that holds the toy."""
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "toy.yml").write_text(yaml.safe_dump(info()))
    monkeypatch.setattr(records, "papers_folder", lambda: tmp_path)
    monkeypatch.setenv("BOOK_OUT", str(tmp_path / "out"))
    monkeypatch.setattr("shared.data.loaded", {})
    return tmp_path


def fill(run):
    run.claim("better", ours=[3.0, 4.0, 3.5], baseline=[1, 1, 2])
    run.claim("grows", x=[0, 1, 2], ours=np.arange(9).reshape(3, 3))
    run.claim("bounded", successes=[1, 2, 1], trials=[100, 100, 100])
    run.claim("same", passed=[True, np.True_, True])
    run.claim("cross", ours=[[1, 2], [1, 2], [1, 3]], baseline=[[0, 0]] * 3)


def test_report_shows_verdicts_and_writes_a_valid_record(folder, capsys):
    run = Paper("toy")
    cfg = run.settings(n=(10, 20, 30), rate=(0.1, 0.2, None))
    assert (cfg.n, cfg.rate, run.seeds) == (10, 0.1, [0, 1, 2])
    run.arm("ours", "accuracy", [90.0, 91, 92])
    run.choice("ours", {"lr": [0.1, 0.2]}, {"lr": 0.1})
    run.resampled("order", "order", "split")
    run.shared_part("pretraining", "it costs an hour")
    run.timing("seconds per item", 0.5)
    fill(run)
    assert run.report() is None  # as a cell's last line it must not print the record
    stored = read_record(folder / "out" / "toy.json")
    assert stored == run.record
    assert stored["results"]["resampled"] == ["order", "split"]
    assert "seconds per item" not in json.dumps(stored["results"])
    assert stored["provenance"]["peak_memory_mib"] > 10
    shown = capsys.readouterr().out
    assert "A claim that is tested." in shown and "holds" in shown


def test_an_unknown_paper_is_refused_with_the_nearest(folder):
    with pytest.raises(ValueError, match="Unknown paper 'toi': did you mean 'toy'"):
        Paper("toi")


def test_a_paper_is_found_without_listing_all_of_them(folder, monkeypatch):
    """Else the cost of a book would grow with the square of its papers."""

    def listed():
        raise AssertionError("every paper was listed for one")

    monkeypatch.setattr(records, "slugs", listed)
    assert records.describe("toy")["slug"] == "toy"


@pytest.mark.parametrize("scale", ["big", "", 3])
def test_an_unknown_scale_is_refused(folder, scale):
    if scale == "":
        assert Paper("toy", scale=None).scale == "smoke"  # $BOOK_SCALE of the tests
        return
    with pytest.raises(ValueError, match="Unknown scale"):
        Paper("toy", scale=scale)


@pytest.mark.parametrize(
    ("seeds", "kind", "says"),
    [
        ("[0, 1]", TypeError, "papermill needs -y"),
        (True, TypeError, "a count"),
        (2.5, TypeError, "a count"),
        ([0, 0], ValueError, "once"),
        ([], ValueError, "at least one"),
        ([-1], ValueError, "from 0"),
        (0, ValueError, "at least one"),
    ],
)
def test_wrong_seeds_are_refused(folder, seeds, kind, says):
    with pytest.raises(kind, match=says):
        Paper("toy", seeds=seeds)


def test_seeds_by_count_list_and_environment(folder, monkeypatch):
    assert Paper("toy", seeds=2).seeds == [0, 1]
    assert Paper("toy", seeds=[7, 3]).seeds == [7, 3]
    for text, seeds in {"4": [0, 1, 2, 3], "5,9": [5, 9], "5,": [5]}.items():
        monkeypatch.setenv("BOOK_SEEDS", text)
        assert Paper("toy").seeds == seeds
    monkeypatch.setenv("BOOK_SEEDS", "many")
    with pytest.raises(ValueError, match="BOOK_SEEDS is 'many'"):
        Paper("toy")


@pytest.mark.parametrize(
    ("claim_id", "values", "says"),
    [
        ("beter", {"ours": [1, 2, 3]}, "did you mean 'better'"),
        ("better", {"ours": [1, 2, 3]}, "give baseline, ours"),
        ("better", {"ours": [1, 2], "baseline": [1, 2]}, "2 values for 3 seeds"),
        ("better", {"ours": [1, 2, math.nan], "baseline": [1, 2, 3]}, "not a finite number"),
        ("better", {"passed": [True] * 3}, "not passed"),
        ("better", {"ours": {"a": [1, 2, 3]}, "baseline": {"b": [1, 2, 3]}}, "arms of ours and baseline differ"),
        ("cross", {"ours": [[1, 2, 3]] * 3, "baseline": [[1, 2, 3]] * 3}, "first, second"),
        ("bounded", {"successes": [1, 2, 3]}, "give successes, trials"),
    ],
)
def test_wrong_values_of_a_claim_are_refused(folder, claim_id, values, says):
    with pytest.raises(RecordError, match=says):
        Paper("toy").claim(claim_id, **values)


def test_values_follow_from_items_where_none_are_given(folder):
    """So that nobody has to take the means of what is given anyway, for one arm or for many."""
    rng = np.random.default_rng(0)
    ours, base = rng.random((2, 3, 20))
    arms = {"a": ours, "b": base}, {"a": base, "b": ours}
    given = dict(ours=ours.mean(1), baseline=base.mean(1), ours_items=ours, baseline_items=base)
    many = [{k: v.mean(1) for k, v in side.items()} for side in arms]
    for short, whole in (
        (dict(ours_items=ours, baseline_items=base), given),
        (dict(ours_items=ours, baseline=base.mean(1)), {k: v for k, v in given.items() if k != "baseline_items"}),
        (
            dict(ours_items=arms[0], baseline_items=arms[1]),
            dict(ours=many[0], baseline=many[1], ours_items=arms[0], baseline_items=arms[1]),
        ),
    ):
        left, right = Paper("toy"), Paper("toy")
        left.claim("better", **short)
        right.claim("better", **whole)
        assert left._values == right._values and left._values["better"]
    with pytest.raises(RecordError, match="give baseline, ours"):
        Paper("toy").claim("better", ours_items=ours)


def test_a_claim_is_recorded_once(folder):
    run = Paper("toy")
    run.claim("same", passed=[True] * 3)
    with pytest.raises(RecordError, match="recorded twice"):
        run.claim("same", passed=[True] * 3)


def test_a_claim_that_was_never_recorded_is_named_and_nothing_written(folder):
    run = Paper("toy")
    run.claim("same", passed=[True] * 3)
    with pytest.raises(RecordError, match="'better' is in the yml, but the run never recorded it"):
        run.report()
    assert not (folder / "out").exists()


def test_data_that_the_yml_does_not_list_is_refused(folder, monkeypatch):
    run = Paper("toy")
    fill(run)
    monkeypatch.setattr("shared.data.loaded", {"fashion_mnist": "0"})
    with pytest.raises(RecordError, match=r"lists the data \[\] at smoke, the notebook loaded \['fashion_mnist'\]"):
        run.report()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fidelity": "perfect"}, "at fidelity"),
        ({"extra": 1}, "'extra' was unexpected"),
        ({"slug": "other"}, "slug must be 'toy'"),
        ({"claims": [{**info()["claims"][0], "delta": 0}]}, "claims/0/delta"),
        ({"claims": [{**info()["claims"][2], "bound": "x"}]}, "claims/0/bound"),
    ],
)
def test_a_wrong_yml_is_refused_with_the_place(folder, change, says):
    (folder / "trust" / "toy.yml").write_text(yaml.safe_dump(info(**change)))
    with pytest.raises(RecordError, match=says):
        describe("toy")


def test_a_proportion_needs_its_bound(folder):
    claim = {k: v for k, v in info()["claims"][2].items() if k != "bound"}
    (folder / "trust" / "toy.yml").write_text(yaml.safe_dump(info(claims=[claim])))
    with pytest.raises(RecordError, match="'bound' is a required property"):
        describe("toy")


def test_a_record_edited_by_hand_is_caught(folder):
    run = Paper("toy")
    fill(run)
    run.report()
    path = folder / "out" / "toy.json"
    record = json.loads(path.read_text())
    record["results"]["claims"]["better"]["ours"][0] = 99.0
    path.write_text(json.dumps(record))
    with pytest.raises(RecordError, match="changed after its run"):
        read_record(path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(RecordError, match="cannot be read as a record"):
        read_record(path)


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": math.nan})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed before the move")))
    with pytest.raises(OSError, match="killed"):
        write_json(path, {"a": 3})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_settings_must_be_triples(folder):
    with pytest.raises(TypeError, match="tuple for n"):
        Paper("toy").settings(n=(1, 2))


def test_tables_escape_what_they_show():
    html = table_html([{"a<b": "<script>", "n": 0.123456}], caption="x & y")
    assert "<script>" not in html and "a&lt;b" in html and "0.1235" in html and "x &amp; y" in html


def test_numbers_of_every_type_have_four_digits():
    html = table_html(
        [{"a": np.float32(0.123456), "b": np.float64(0.123456), "c": 12345678, "d": np.int64(3), "e": True}]
    )
    assert html.count("0.1235") == 2 and "12345678" in html and ">3<" in html and ">True<" in html


@pytest.mark.slow
def test_in_a_kernel_a_cell_may_run_again_and_another_may_not_record_the_same():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))

    def run(code):
        client.execute(code)
        reply = client.get_shell_msg(timeout=60)["content"]
        return reply.get("evalue", "") if reply["status"] == "error" else None

    try:
        assert run("from shared.paper import Paper\npaper = Paper('elr', 'smoke')") is None
        record = "paper.arm('A', 'accuracy', [1.0, {}])\nkept = paper._arms['A', 'accuracy']['values']"
        assert run(record.format(2.0)) is None
        assert run(record.format(2.0)) is None, "a cell that runs again replaces what it recorded"
        assert "recorded twice" in run("x = 1\n" + record.format(3.0))
        assert run("assert kept == [1.0, 2.0], kept") is None
        assert "recorded twice" in run("for _ in range(2):\n    paper.arm('B', 'accuracy', [1.0, 2.0])")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
