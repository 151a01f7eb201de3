"""What a bare runtime (Colab, a fresh environment) lacks for one notebook."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

BASE = ("pyyaml", "jsonschema", "scipy")  # what `shared` itself needs beside torch, numpy and matplotlib
KEEP = ("torch", "torchvision", "numpy", "pandas")  # never changed: they are the runtime's own


def missing(requirements) -> list[str]:
    """Those of the pip requirements that are absent or too old."""
    lacking = []
    for requirement in requirements:
        name, wanted = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?.*", requirement).groups()
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(requirement)
            continue
        if wanted and _numbers(have) < _numbers(wanted):
            lacking.append(requirement)
    return lacking


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def install(requirements) -> None:
    """pip-install what is missing, holding the runtime's own torch, torchvision, numpy and pandas fixed."""
    wanted = missing(requirements)
    if not wanted:
        return
    pins = []
    for name in KEEP:
        with contextlib.suppress(metadata.PackageNotFoundError):
            pins.append(f"{name}=={metadata.version(name)}")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pins) + "\n")
        command = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(
            f"Could not install {', '.join(wanted)} (pip says: {tail[0]}): install them by hand and run this cell again."
        )


def ensure(slug: str) -> None:
    """Install what `shared` and then what the paper's yml lists under `needs`, where the runtime lacks it."""
    install(BASE)
    from shared.record import describe

    install(describe(slug).get("needs") or [])
