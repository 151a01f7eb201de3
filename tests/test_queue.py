"""The queue for `full`."""

from book.tools.upkeep import queue
from book.tools.upkeep.queue import Waiting, fitting


def made(slug, primary, claims, hours, device="cpu"):
    return Waiting(slug, primary, claims, hours, device, "never run")


def test_what_fits_the_hours_goes_in_order_and_skips_what_is_too_long():
    line = [made("a", 3, 9, 0.5), made("b", 2, 9, 2.0), made("c", 1, 4, 0.5), made("d", 0, 1, 0.1)]
    assert [w.slug for w in fitting(line, 1.0, gpu=False)] == ["a", "c"]
    assert [w.slug for w in fitting(line, 0.4, gpu=False)] == ["d"]
    assert fitting(line, 0, gpu=False) == []


def test_what_wants_a_gpu_waits_for_one():
    line = [made("a", 3, 9, 0.5, "gpu"), made("b", 0, 2, 0.5)]
    assert [w.slug for w in fitting(line, 1.0, gpu=False)] == ["b"]
    assert [w.slug for w in fitting(line, 1.0, gpu=True)] == ["a", "b"]


def test_papers_wait_where_they_have_no_run_of_todays_source(monkeypatch):
    claims = [
        {"id": "x", "primary": True},
        {"id": "y"},
        {"id": "z", "origin": "book"},
        {"id": "n", "untestable": {"full": "no"}},
    ]
    info = {"claims": claims, "cost": {"full": "an hour", "hours": 1, "device": "gpu"}}
    monkeypatch.setattr(queue, "select", lambda names: ["done", "old", "new"])
    monkeypatch.setattr(queue, "describe", lambda slug: info)
    monkeypatch.setattr(queue, "accepted", lambda scale: {"done": {}, "old": {}})
    monkeypatch.setattr(queue, "stale_marks", lambda runs: {"old": " (stale)"})
    found = queue.waiting()
    assert {w.slug: w.why for w in found} == {"old": "stale", "new": "never run"}
    assert all((w.primary, w.claims, w.hours, w.device) == (1, 2, 1, "gpu") for w in found)
    assert "never run" in queue.table(found) and len(queue.table(found).splitlines()) == 3
