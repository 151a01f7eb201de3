"""Which differences between a new run and an accepted record are told, and which are alarms."""

import pytest

from book.tools.upkeep import drift

HERE = {"versions": {"torch": "2"}, "device_print": "one"}
ELSEWHERE = {"versions": {"torch": "2"}, "device_print": "two"}
CLAIM = {"id": "c", "kind": "difference", "metric": "m", "unit": "points", "direction": "higher", "delta": 1.0,
         "ours": {"arm": "A"}, "bound": 0.0}  # fmt: skip


def run(values, place, *arms):
    entries = [{"arm": name, "metric": "m", "unit": "%", "values": v} for name, v in [("A", values), *arms]]
    return {
        "slug": "toy",
        "results": {"scale": "small", "seeds": list(range(len(values))), "arms": entries, "claims": {}},
        "provenance": place,
    }


HOLDS = [1.2, 2.0, 1.6, 2.4, 1.8]
UNDECIDED = [3.0, -1.0, 2.4, 0.2, 1.0]


@pytest.mark.parametrize(
    ("before", "after", "place", "found"),
    [
        (HOLDS, HOLDS, HERE, []),
        (HOLDS, [v + 0.1 for v in HOLDS], HERE, []),
        (HOLDS, UNDECIDED, HERE, ["verdict"]),
        (HOLDS, UNDECIDED, ELSEWHERE, ["border"]),  # 1.8 -> 1.1, within what a second run may give
        (HOLDS, [v + 3 for v in HOLDS], ELSEWHERE, ["effect"]),
        (HOLDS, [v - 1.6 for v in HOLDS], ELSEWHERE, ["effect", "verdict"]),
        (UNDECIDED, [v - 2.5 for v in HOLDS], ELSEWHERE, ["border"]),  # undecided -> reversed
        ([0.2, 1.0, 0.6, 1.4, 0.8], [-0.6, -0.4, -0.2, -0.5, -0.3], ELSEWHERE, ["effect", "verdict"]),
    ],
)
def test_verdicts_at_a_border_may_differ_on_another_machine_only(monkeypatch, before, after, place, found):
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [CLAIM]})
    told = drift.changes("toy", run(before, HERE), run(after, place))
    assert [what for what, _ in told] == found, told
    assert all("toy: c: " in sentence for _, sentence in told)


def test_of_a_claim_for_every_arm_each_arm_is_compared(monkeypatch):
    """An arm that leaves its interval is told although another one decides the verdict."""
    every = {**CLAIM, "ours": {"arm": "{}"}, "for_each": ["A", "B"]}
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [every]})
    old = run(HOLDS, HERE, ("B", [v + 10 for v in HOLDS]))
    new = run(HOLDS, ELSEWHERE, ("B", [v + 20 for v in HOLDS]))
    assert [what for what, _ in drift.changes("toy", old, new)] == ["effect"]
    assert drift.changes("toy", old, run(HOLDS, ELSEWHERE, ("B", [v + 10.2 for v in HOLDS]))) == []


def test_exact_claims_have_no_border(monkeypatch):
    exact = {**CLAIM, "kind": "exact"}
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [exact]})
    told = drift.changes("toy", run([1.0, 1.0, 1.0], HERE), run([1.0, 0.0, 1.0], ELSEWHERE))
    assert [what for what, _ in told] == ["verdict"]


def test_other_versions_are_another_machine():
    assert drift.alike(HERE, dict(HERE))
    assert not drift.alike(HERE, HERE | {"versions": {"torch": "3"}}) and not drift.alike(HERE, ELSEWHERE)


def timed(values, place):
    record = run(HOLDS, place)
    return record | {"timed": [{"arm": "A", "metric": "m", "unit": "%", "values": values}]}


@pytest.mark.parametrize(
    ("after", "found"),
    [(HOLDS, []), ([v + 0.1 for v in HOLDS], []), (UNDECIDED, ["time"]), ([v + 3 for v in HOLDS], ["effect"]),
     ([v - 4 for v in HOLDS], ["effect", "verdict"])],
)  # fmt: skip
def test_times_are_judged_by_their_interval_on_the_same_machine_too(monkeypatch, after, found):
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [{**CLAIM, "timed": True}]})
    told = drift.changes("toy", timed(HOLDS, HERE), timed(after, HERE))
    assert [what for what, _ in told] == found, told


def test_a_drift_of_times_is_seen_where_all_results_are_equal(monkeypatch, capsys):
    old, new = timed(HOLDS, HERE), timed([v - 4 for v in HOLDS], HERE)
    for record in (old, new):
        record["provenance"] = HERE | {"seconds": 1.0, "result_hash": "a"}
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [{**CLAIM, "timed": True}]})
    monkeypatch.setattr(drift, "accepted", lambda: {"toy": old})
    monkeypatch.setattr(drift, "read_record", lambda path: new)
    monkeypatch.setattr(drift.Run, "of", classmethod(lambda cls, *_: type("R", (), {"record": None})))
    assert drift.report(["toy"]) == 1 and "toy: c: holds -> reversed" in capsys.readouterr().out
    monkeypatch.setattr(drift, "read_record", lambda path: old)
    assert drift.report(["toy"]) == 0 and "same to the bit" in capsys.readouterr().out
