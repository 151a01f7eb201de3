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
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, int(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return count
