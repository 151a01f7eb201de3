"""`make bench`: what the machinery costs, as ratios measured in one go (not a test: machines are noisy).

SCALE=small measures the book that readers build; the default, smoke, takes a minute or two.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from book.tools import ROOT
from book.tools.notebooks import papers
from shared.paper import read_record
from shared.scales import resolve_scale


def clock(command: list[str], env: dict, repeats: int = 1) -> list[float]:
    """Wall-clock seconds of a command, run `repeats` times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def spread(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


def main() -> int:
    scale = resolve_scale(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else "smoke")
    cores = os.cpu_count() or 1
    base = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")} | {"PYTHONPATH": str(ROOT)}
    print(f"{len(papers())} papers at {scale}, {cores} cores")

    torch = clock([sys.executable, "-c", "import torch"], base, 5)
    both = clock([sys.executable, "-c", "import torch, shared, shared.paper, shared.data, shared.train"], base, 5)
    print(f"import torch: {spread(torch)} s; with shared: {spread(both)} s; "
          f"shared adds {statistics.median(both) - statistics.median(torch):.2f} s")  # fmt: skip

    book = [sys.executable, "-m", "book.tools.book", "--scale", scale, "--no-site"]
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("one after another", 1), ("in parallel", cores)):
            env = base | {"BOOK_BUILD": str(Path(folder) / name.replace(" ", "-"))}
            runs[name] = clock([*book, "--cores", str(count)], env)[0]
            records = Path(env["BOOK_BUILD"]) / "runs" / scale
            provenance = [
                read_record(p)["provenance"] for p in records.glob("*/*.json") if not p.name.endswith("failure.json")
            ]
            seconds = [p["seconds"] for p in provenance]
            print(f"{name}: {runs[name]:.1f} s; bodies of the notebooks {sum(seconds):.1f} s, longest {max(seconds):.1f} s, "
                  f"peak memory {max(p['peak_memory_mib'] for p in provenance):.0f} MiB")  # fmt: skip
        limit = max(sum(seconds) / cores, max(seconds))
        print(f"parallel / one after another: {runs['in parallel'] / runs['one after another']:.2f}")
        print(f"parallel / limit (sum of bodies over cores, or the longest): {runs['in parallel'] / limit:.2f}")
        noop = clock(book, env, 5)
        print(
            f"nothing to do: {spread(noop)} s; over one Python start with torch: {statistics.median(noop) / statistics.median(torch):.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
