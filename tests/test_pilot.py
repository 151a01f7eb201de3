"""The file of a pilot: a regime that was tried and dropped stays in it, with the reason."""

import json

import pytest

from book.tools import BookError
from book.tools.upkeep import pilot


@pytest.mark.parametrize(
    ("settings", "differ", "dropped"),
    [({"n": 20}, "n", {"n": 10}), ({"n": 10, "m": 3}, "m", {}), ({}, "n", {"n": 10}), ({"m": 3}, "m, n", {"n": 10})],
)
def test_another_regime_needs_a_reason(monkeypatch, tmp_path, settings, differ, dropped):
    old = {"settings": {"n": 10}, "seeds": [100, 101], "claims": {}, "dropped": []}
    (tmp_path / "toy.json").write_text(json.dumps(old))
    monkeypatch.setattr(pilot, "PILOTS", tmp_path)
    monkeypatch.setattr(pilot, "read_pilot", lambda slug: old)
    monkeypatch.setattr(pilot, "source_hash", lambda slug: "")
    monkeypatch.setattr(pilot, "summary", lambda slug, record: {})
    monkeypatch.setattr(pilot, "describe", lambda slug: {"seeds": {"small": 5}})
    record = {"results": {"seeds": [100], "settings": settings}}
    with pytest.raises(BookError, match=rf"another regime \({differ} differ\)"):
        pilot.file("toy", record, "")
    assert pilot.file("toy", record, "too noisy")["dropped"][0]["settings"] == dropped
    record["results"]["settings"] = {"n": 10}
    assert pilot.file("toy", record, "")["dropped"] == []
