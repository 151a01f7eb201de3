"""`make bench`: what the machinery costs, as ratios measured in one go (not a test: machines are noisy).

WHAT="imports runs noop overhead train site" chooses; SCALE=small measures the book that readers build, the default,
smoke, takes some minutes. Everything runs in copies of the book, in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from book.tools import cores
from book.tools.papers.notebooks import papers
from book.tools.upkeep import generated
from shared.record import read_record
from shared.scales import resolve_scale

CORES = cores()


def clock(command: list[str], tree: Path, repeats: int = 1) -> list[float]:
    """Wall-clock seconds of a command in a copy of the book, run `repeats` times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run(command, cwd=tree, env=generated.environment(tree), capture_output=True, text=True)
        times.append(time.perf_counter() - start)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return times


def spread(times: list[float], digits: int = 2) -> str:
    """Median and range."""
    low, middle, high = (f"{v:.{digits}f}" for v in (min(times), statistics.median(times), max(times)))
    return middle if len(times) == 1 else f"{middle} ({low} to {high})"


def ratios(above: list[float], below: list[float]) -> str:
    return spread([a / b for a, b in zip(above, below)])


def book(scale: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "book.tools.book", "--scale", scale, *words]


def imports(folder: Path, scale: str, repeats: int) -> None:
    """What `import shared` adds to `import torch`."""
    tree, torch, both = generated.copy(folder / "imports"), [], []
    for _ in range(max(repeats, 5)):  # in turn, so that a busy moment hits both
        torch += clock([sys.executable, "-c", "import torch"], tree)
        both += clock([sys.executable, "-c", "import torch, shared, shared.paper, shared.data, shared.train"], tree)
    added = [b - t for t, b in zip(torch, both)]
    print(f"import torch: {spread(torch)} s; shared adds {spread(added)} s; ratio {ratios(both, torch)}")


def runs(folder: Path, scale: str, repeats: int) -> None:
    """All notebooks in parallel against one after another and against the limit; then how a run divides."""
    walls: dict[int, list[float]] = {1: [], CORES: []}
    limits, start, loading, body = [], [], [], []
    for turn in range(repeats):
        for count in walls:
            tree = generated.copy(folder / f"runs-{turn}-{count}")
            walls[count] += clock(book(scale, "--no-site", "--cores", str(count)), tree)
            if count > 1:
                continue
            jobs = sorted((tree / "_build" / "runs" / scale).glob("*/*.benchmark.tsv"))
            seconds = [float(path.read_text().splitlines()[1].split("\t")[0]) for path in jobs]
            limits.append(max(sum(seconds) / CORES, max(seconds)))
            print(f"  one at a time, a run takes {spread(seconds, 1)} s; in CPU s of its kernel:")
            for path, wall in zip(jobs, seconds):
                whole = path.with_name(path.name.replace(".benchmark.tsv", ".json"))
                p = read_record(whole)["provenance"]
                cells = [
                    cell
                    for cell in json.loads(whole.with_suffix(".ipynb").read_text())["cells"]
                    if cell["cell_type"] == "code"
                ]
                took = [cell["metadata"]["papermill"]["duration"] or 0 for cell in cells]
                first = next(i for i, cell in enumerate(cells) if "= Paper(" in "".join(cell["source"]))
                start.append((wall - sum(took)) / wall)
                loading.append(sum(took[: first + 1]) / wall)
                body.append(sum(took[first + 1 :]) / wall)
                print(
                    f"    {whole.stem:<24} {p['cpu_seconds']:6.1f}  {p['peak_memory_mib']:5.0f} MiB  (wall {wall:.1f} s)"
                )
    print(f"parallel / one after another, {CORES} cores: {ratios(walls[CORES], walls[1])}")
    print(f"parallel / limit (sum of the single-core times over cores, or the longest): {ratios(walls[CORES], limits)}")
    print(
        f"a run divides into start {spread(start)}, imports {spread(loading)}, body {spread(body)} (shares of its time)"
    )


def noop(folder: Path, scale: str, repeats: int) -> None:
    """Nothing to do, and one notebook edited, against one start of Python with torch."""
    tree = generated.copy(folder / "noop")
    clock(book("smoke", "--no-site"), tree)
    idle, edited, torch = [], [], []
    slug, part = next(reversed(papers().items()))
    source = tree / "notebooks" / part / f"{slug}.py"
    for turn in range(max(repeats, 5)):
        torch += clock([sys.executable, "-c", "import torch"], tree)
        idle += clock(book("smoke", "--no-site"), tree)
        if turn < max(repeats, 3):
            source.write_text(source.read_text(encoding="utf-8") + f"\n# %%\nedited = {turn}\n", encoding="utf-8")
            edited += clock(book("smoke", "--no-site"), tree)
    print(f"nothing to do: {spread(idle)} s; over one start of Python with torch: {ratios(idle, torch)}")
    print(f"{slug} edited, at smoke: {spread(edited)} s; over nothing to do: {ratios(edited, idle)}")


def overhead(folder: Path, scale: str, repeats: int) -> None:
    """Planning and scheduling of runs that cost nothing, and nothing to do, for 50 and 500 generated papers."""
    each: dict[int, list[float]] = {}
    idle: dict[int, list[float]] = {}
    for count in (50, 500):
        tree = generated.trivial(folder / f"overhead-{count}", count)
        for _ in range(max(repeats, 3)):
            shutil.rmtree(tree / "_build", ignore_errors=True)
            each.setdefault(count, []).append(1000 * clock(book("smoke", "--no-site"), tree)[0] / count)
            idle.setdefault(count, []).append(1000 * clock(book("smoke", "--no-site"), tree)[0] / count)
        print(f"{count} papers: {spread(each[count], 0)} ms a run; nothing to do: {spread(idle[count], 1)} ms a paper")
    print(f"500 papers / 50 papers: {ratios(each[500], each[50])} for a run, {ratios(idle[500], idle[50])} for nothing to do "
          "(1 or less: the cost grows no faster than the book)")  # fmt: skip


def train(folder: Path, scale: str, repeats: int) -> None:
    """shared.train.fit against a loop written by hand: the same network, batches and memory format."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from shared import train as ours
    from shared.scales import device

    torch.set_num_threads(1)
    where = device()
    n, batch, epochs = 2000, 100, 1
    images, labels = torch.rand(n, 3, 32, 32), torch.randint(10, (n,))

    def make():
        torch.manual_seed(0)
        layers = [
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
        ]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def by_hand():
        model = make().to(where, memory_format=torch.channels_last)
        x, y = images.to(where, memory_format=torch.channels_last), labels.to(where)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=where.type == "cuda")
        generator = torch.Generator().manual_seed(0)
        model.train()
        for _ in range(epochs):
            order = torch.randperm(n, generator=generator).to(where)
            for i in range(0, n, batch):
                rows = order[i : i + batch]
                with torch.autocast("cuda", torch.bfloat16, enabled=where.type == "cuda"):
                    loss = F.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return model

    def with_shared():
        model = ours.place(make(), where)
        x, y = ours.to_device(images, where), labels.to(where)
        return ours.fit(model, x, y, epochs=epochs, batch=batch, lr=0.05, generator=torch.Generator().manual_seed(0))

    same = all(torch.equal(a, b) for a, b in zip(by_hand().parameters(), with_shared().parameters()))
    times: dict = {by_hand: [], with_shared: []}
    for turn in range(3 * max(repeats, 5)):
        for function in (by_hand, with_shared) if turn % 2 else (with_shared, by_hand):
            start = time.perf_counter()
            function()
            if where.type == "cuda":
                torch.cuda.synchronize()
            times[function].append(time.perf_counter() - start)
    fast = [min(values) for values in times.values()]
    print(f"shared.train.fit / a loop by hand, throughput: {ratios(times[by_hand], times[with_shared])}, of the fastest turns "
          f"{fast[0] / fast[1]:.3f}; on {where}; the weights are {'the same to the bit' if same else 'NOT the same'}")  # fmt: skip


def site(folder: Path, scale: str, repeats: int) -> None:
    """The site of 50 executed notebooks: from nothing, with one page changed, with nothing changed."""
    tree = generated.executed(folder / "site", 50, scale)
    (whole,) = clock(book(scale), tree)
    page = sorted((tree / "notebooks" / "noisy_labels").glob("*.py"))[25]
    changed = []
    for turn in range(max(repeats, 3)):
        page.write_text(page.read_text(encoding="utf-8") + f"\n# %% [markdown]\n# Changed {turn}.\n", encoding="utf-8")
        changed += clock(book(scale), tree)
    idle = clock(book(scale), tree)
    print(f"50 pages: {whole:.1f} s; one changed: {spread(changed)} s, ratio {ratios(changed, [whole] * len(changed))}; "
          f"nothing changed: {spread(idle)} s")  # fmt: skip


PARTS = {f.__name__: f for f in (imports, runs, noop, overhead, train, site)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="")
    parser.add_argument("--what", default="")
    parser.add_argument("--repeats", type=int)
    args = parser.parse_args()
    try:
        scale = resolve_scale(args.scale or "smoke")
    except ValueError as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    chosen = args.what.replace(",", " ").split() or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"make bench: unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}.", file=sys.stderr)
        return 1
    repeats = args.repeats or (1 if scale == "small" else 3)
    print(f"{len(papers())} papers at {scale}, {CORES} cores; median (lowest to highest)")
    for name in chosen:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), scale, repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
