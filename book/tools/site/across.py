"""Figures across the papers of a part, drawn from the records of the run that the site is built from."""

from __future__ import annotations

import io

from book.tools import BookError
from shared.claims import mean_interval

# Panel by panel: paper, title, and for each curve its points: noise rate in % -> (arm, metric) of the record.
NOISE = [
    (
        "elr",
        "clothes, labels drawn anew",
        {
            name: {r: (name, f"test accuracy at {r} % noise") for r in (40, 60, 80)}
            for name in ("CE", "GCE, q 0.7", "ELR, lambda 3")
        },
    ),
    (
        "nested_dropout",
        "clothes, symmetric noise",
        {
            "CE": {50: ("CE: two-net average", "test accuracy, one network")},
            "nested dropout": {50: ("nested: two-net average", "test accuracy, one network")},
            "nested + Co-teaching": {50: ("nested + Co-teaching", "test accuracy, averaged pair")},
        },
    ),
    (
        "rcal",
        "long-tailed clothes, balanced accuracy",
        {
            name: {r: (name, f"balanced accuracy at imbalance 10, noise {r} %") for r in (20, 40, 50)}
            for name in ("CE", "MiSLAS", "RCAL")
        },
    ),
    (
        "erase",
        "Debian's dependency graph, symmetric noise",
        {
            name: {100 * r: (name, f"test accuracy, Debian, symmetric {r}") for r in (0.1, 0.3, 0.5)}
            for name in ("GCN", "GCN on propagated labels", "ERASE")
        },
    ),
]
PARTS = {"noisy_labels": NOISE}


def points(panels: list, records: dict[str, dict]) -> list[tuple[str, str, dict]]:
    """(paper, title, curve -> [(x, mean, low, high)]) with what the records have; empty panels are left out."""
    found = []
    for slug, title, curves in panels:
        if slug not in records:
            continue
        values = {(a["arm"], a["metric"]): a["values"] for a in records[slug]["results"]["arms"]}
        lines = {}
        for name, places in curves.items():
            line = []
            for x, key in places.items():
                if key not in values and records[slug]["results"]["scale"] == "small":
                    raise BookError(
                        f"The figure across papers wants the arm {' | '.join(key)!r} of {slug}, which is gone."
                    )
                if key in values:
                    mean, low, high = values[key][0], values[key][0], values[key][0]
                    if len(values[key]) > 1:
                        mean, low, high = mean_interval(values[key])[:3]
                    line.append((x, mean, low, high))
            if line:
                lines[name] = line
        if lines:
            found.append((slug, title, lines))
    return found


def draw(part: str, records: dict[str, dict]) -> tuple[bytes, str] | None:
    """PNG and alt text; None where the part has no such figure or no record for it."""
    from matplotlib.figure import Figure

    from shared.plots import COLORS, MARKERS

    panels = points(PARTS.get(part, []), records)
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(7, 2.9 * rows), dpi=160, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, 2, squeeze=False).flatten()
    for axes, (slug, title, lines) in zip(grid, panels):
        order = [1, 2, 0]  # the method of the paper comes last and keeps its colour
        for k, (name, line) in enumerate(lines.items()):
            color, marker = COLORS[order[k % 3]], MARKERS[order[k % 3]]
            x, mean, low, high = zip(*line)
            shift = [v + 0.6 * (k - 1) for v in x]
            spread = [[m - a for m, a in zip(mean, low)], [b - m for m, b in zip(mean, high)]]
            axes.errorbar(shift, mean, spread, color=color, marker=marker, capsize=2, markersize=5, label=name)
        axes.set_title(f"{slug}\n{title}", fontsize=9)
        axes.set(xlabel="noise rate, %", ylabel="test accuracy, %", xlim=(-4, 86))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7.5, frameon=False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    told = []
    for slug, _, lines in panels:
        last = {name: line[-1] for name, line in lines.items()}
        rate = max(x for x, *_ in last.values())
        told.append(f"{slug} at {rate:.0f} % noise: " + ", ".join(f"{n} {p[1]:.0f} %" for n, p in last.items()))
    return out.getvalue(), f"Test accuracy over noise rate in {len(panels)} panels, one per paper. " + "; ".join(told)
