"""What turns notebooks into a book: pairing, content keys, running, records, staging, generated pages."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BOOK_BUILD") or ROOT / "_build").absolute()  # elsewhere for measurements


class BookError(Exception):
    """Something a person can mend; the message is one sentence that says how."""


def cores() -> int:
    """Processors that this process may use: its affinity, and in a container its share of time."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([count, *_shares()])))


def _shares():
    """Processors' worth of time that the control groups of this process have, of both editions, each where it has a limit."""
    system = Path("/sys/fs/cgroup")
    groups = {system, system / "cpu", system / "cpu,cpuacct"}
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, place = line.split(":", 2)
            if not kinds or "cpu" in kinds.split(","):
                path = (system / kinds).joinpath(place.lstrip("/"))
                groups |= {path, *(outer for outer in path.parents if system in outer.parents)}
    except (OSError, ValueError):  # no control groups here
        pass
    for group in groups:
        for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
            try:
                quota, period = " ".join((group / name).read_text(encoding="utf-8") for name in names).split()
                if int(quota) > 0:
                    yield int(quota) / int(period)
            except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
                continue
