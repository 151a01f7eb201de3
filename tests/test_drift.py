"""Which differences between a new run and an accepted record are told, and which are alarms."""

import pytest

from book.tools import drift
from shared.claims import FAILS, HOLDS, SMALLER, UNRESOLVED, Outcome

HERE = {"versions": {"torch": "2"}, "device_print": "one"}
ELSEWHERE = {"versions": {"torch": "2"}, "device_print": "two"}
ACCEPTED = Outcome(HOLDS, effect=2.0, low=1.0, high=3.0)


@pytest.mark.parametrize(
    ("before", "after", "place", "kind", "found"),
    [
        (ACCEPTED, ACCEPTED, HERE, "difference", []),
        (ACCEPTED, Outcome(HOLDS, 2.5, 1.5, 3.5), HERE, "difference", []),
        (ACCEPTED, Outcome(UNRESOLVED, 1.5, -0.1, 3.1), ELSEWHERE, "difference", ["border"]),
        (ACCEPTED, Outcome(UNRESOLVED, 1.5, -0.1, 3.1), HERE, "difference", ["verdict"]),
        (Outcome(SMALLER, 0.1, 0.01, 0.2), Outcome(FAILS, 0.09, -0.01, 0.19), ELSEWHERE, "difference", ["border"]),
        (ACCEPTED, Outcome(FAILS, 1.1, -1.0, 3.2), ELSEWHERE, "difference", ["verdict"]),
        (ACCEPTED, Outcome(HOLDS, 3.5, 2.5, 4.5), ELSEWHERE, "difference", ["effect"]),
        (ACCEPTED, Outcome(SMALLER, 0.5, 0.1, 0.9), ELSEWHERE, "difference", ["effect", "verdict"]),
        (Outcome(HOLDS, 100.0), Outcome(FAILS, 80.0), ELSEWHERE, "exact", ["verdict"]),
    ],
)
def test_verdicts_at_a_border_may_differ_on_another_machine_only(monkeypatch, before, after, place, kind, found):
    monkeypatch.setattr(drift, "describe", lambda slug: {"claims": [{"id": "c", "kind": kind, "unit": "points"}]})
    monkeypatch.setattr(drift, "verdicts", lambda info, record: {"c": record["outcome"]})
    monkeypatch.setattr(drift, "effect_text", lambda claim, outcome: str(outcome.effect))
    old, new = {"outcome": before, "provenance": HERE}, {"outcome": after, "provenance": place}
    told = drift.changes("toy", old, new)
    assert [what for what, _ in told] == found
    assert all("toy: c: " in sentence and str(after.effect) in sentence for _, sentence in told)


def test_other_versions_are_another_machine():
    assert drift.alike(HERE, dict(HERE))
    assert not drift.alike(HERE, HERE | {"versions": {"torch": "3"}}) and not drift.alike(HERE, ELSEWHERE)
