"""What is refused where a record is to be accepted: claims that are not committed, no pilot, no power."""

import copy

import pytest

from book.tools import BookError
from book.tools.papers import registered
from shared.record import registration

CLAIM = {"id": "better", "kind": "difference", "metric": "accuracy", "unit": "points", "direction": "higher", "delta": 1.0,
         "primary": True, "ours": {"arm": "A"}, "baseline": {"arm": "B"}}  # fmt: skip
AT_FULL = {**CLAIM, "id": "real", "untestable": {"smoke": "needs data", "small": "needs data"}}
INFO = {"slug": "toy", "short": "Toy", "claims": [CLAIM, AT_FULL]}
RECORD = {"results": {"scale": "small", "seeds": [0, 1], "settings": {"n": 10}}, "provenance": {"commit": "abc"}}
PILOT = {
    "settings": {"n": 10},
    "seeds": [100, 101],
    "claims": {"better": {"digest": registration(INFO)["better"], "primary": True, "powered": True}},
}


@pytest.fixture
def book(monkeypatch):
    monkeypatch.setattr(registered, "describe", lambda slug: INFO)
    monkeypatch.setattr(registered, "commit_of_claims", lambda slug: "c0ffee")


def complete(pilot=PILOT, record=RECORD, old=None):
    return registered.complete("toy", copy.deepcopy(record), old, pilot)["provenance"]["registration"]


def test_a_record_carries_claims_pilot_and_commit(book):
    known = complete()
    assert known["claims"] == registration(INFO) and known["commit"] == "c0ffee" and known["changed"] == []
    other = {**PILOT, "seeds": [102, 103]}
    assert known["pilot"] == registered.digest(PILOT) != registered.digest(other)


@pytest.mark.parametrize(
    ("pilot", "says"),
    [
        (None, "has no pilot"),
        ({**PILOT, "claims": {}}, "knows other claims than better"),
        ({**PILOT, "claims": {"better": {**PILOT["claims"]["better"], "digest": "x"}}}, "knows other claims"),
        ({**PILOT, "settings": {"n": 20}}, "another regime"),
        (
            {**PILOT, "claims": {"better": {**PILOT["claims"]["better"], "powered": False}}},
            "cannot be decided by 2 seeds",
        ),
    ],
)
def test_what_is_refused(book, pilot, says):
    with pytest.raises(BookError, match=says):
        complete(pilot)


def test_at_full_no_pilot_is_asked_for(book):
    assert complete(None, {**RECORD, "results": {**RECORD["results"], "scale": "full"}})["pilot"] is None


def test_claims_that_are_not_committed_are_refused(book, monkeypatch):
    monkeypatch.setattr(registered, "commit_of_claims", lambda slug: None)
    with pytest.raises(BookError, match="commit toy.yml first"):
        complete()


def test_claims_that_came_or_changed_after_a_first_record_are_named(book, monkeypatch):
    stood = registration(INFO)
    old = {"provenance": {"registration": {"claims": stood, "changed": []}}}
    assert complete(old=old)["changed"] == []
    old["provenance"]["registration"]["claims"] = {**stood, "better": "other"}
    assert complete(old=old)["changed"] == ["better"]
    del old["provenance"]["registration"]["claims"]["real"]
    assert complete(old=old)["changed"] == ["better", "real"]
    old["provenance"]["registration"] = {"claims": stood, "changed": ["better", "gone"]}
    assert complete(old=old)["changed"] == ["better"]  # once late, always late
    # a record from before registration is compared through the commit of its run
    monkeypatch.setattr(
        registered, "claims_at", lambda commit, slug: {**stood, "real": "other"} if commit == "abc" else None
    )
    assert complete(old={"provenance": {"commit": "abc"}})["changed"] == ["real"]
    assert complete(old={"provenance": {"commit": None}})["changed"] == ["better", "real"]
