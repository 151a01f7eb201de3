"""The queue for `full`: which papers have no accepted run on their own data, what one costs, and what fits an hour."""

from __future__ import annotations

from dataclasses import dataclass

from book.tools.papers.notebooks import select
from book.tools.site.verdicts import accepted, stale_marks
from shared.record import describe


@dataclass(frozen=True)
class Waiting:
    """A paper that waits for its run at `full`.

    Args:
        primary, claims: how many claims of the paper that run would test. hours: what it takes. device: "gpu" or "cpu".
        why: "never run" or "stale".
    """

    slug: str
    primary: int
    claims: int
    hours: float
    device: str
    why: str


def waiting(names: str = "") -> list[Waiting]:
    """Papers without an accepted run of today's source at `full`, those with most to tell first."""
    runs = accepted("full")
    stale = stale_marks(runs)
    found = []
    for slug in select(names):
        if slug in runs and slug not in stale:
            continue
        info = describe(slug)
        tested = [c for c in info["claims"] if "full" not in (c.get("untestable") or {}) and c.get("origin") != "book"]
        primary = sum(bool(c.get("primary")) for c in tested)
        cost = info["cost"]
        why = "stale" if slug in stale else "never run"
        found.append(Waiting(slug, primary, len(tested), cost["hours"], cost["device"], why))
    return sorted(found, key=lambda w: (-w.primary, -w.claims, w.hours))


def fitting(queue: list[Waiting], hours: float, gpu: bool) -> list[Waiting]:
    """What of the queue fits the hours, first come first; what wants a GPU only where there is one."""
    chosen = []
    for w in queue:
        if w.hours <= hours and (gpu or w.device == "cpu"):
            chosen.append(w)
            hours -= w.hours
    return chosen


def table(queue: list[Waiting]) -> str:
    """The queue as lines of text."""
    lines = [f"{'paper':<26} {'primary':>7} {'claims':>6} {'hours':>6}  on"]
    lines += [f"{w.slug:<26} {w.primary:>7} {w.claims:>6} {w.hours:>6.2g}  {w.device}, {w.why}" for w in queue]
    return "\n".join(lines)
