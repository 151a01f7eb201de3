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
    old = [Path("/sys/fs/cgroup/cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    for files in ([Path("/sys/fs/cgroup/cpu.max")], old):  # cgroup v2 has one file, v1 had two
        try:
            quota, period = " ".join(file.read_text() for file in files).split()
            share = int(quota) / int(period)
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if share > 0:  # -1 is no limit
            return max(1, min(count, int(share)))
    return count
