"""Where a run came from: machine, versions, commit. None of it is part of the results."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

from shared.record import ROOT


def versions() -> dict[str, str]:
    """Versions of Python, torch, numpy and the platform."""
    import numpy as np
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(terse=True),
    }


def peak_mib() -> float:
    """Peak resident memory of this process in MiB (0 where the system does not tell)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cpu_print() -> str:
    """Short print of the processor's model and instruction set: runs are alike to the bit only where it is."""
    keep = ("cpu family", "model\t", "model name", "stepping", "flags")
    try:
        core = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        core = [platform.processor(), platform.machine()]
        keep = ("",)
    return hashlib.sha256("\n".join(line for line in core if line.startswith(keep)).encode()).hexdigest()[:12]


_SOURCES = ("notebooks", "shared", "requirements.lock")  # what a run is made from, beside the data in `shared`


def commit() -> tuple[str | None, bool | None]:
    """Commit of the book's own checkout, and whether its tree had changes; none where the book is no repository.

    A book that was unpacked inside another repository has no commit: that of the outer one says nothing of it.
    """
    if ROOT is None:
        return None, None

    # Called from a hook, git's own variables name another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, env=env
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT.resolve():
            return None, None
        return git("rev-parse", "--short=10", "HEAD"), bool(
            git("status", "--porcelain", "--untracked-files=no", "--", *_SOURCES)
        )
    except (OSError, subprocess.CalledProcessError):
        return None, None
