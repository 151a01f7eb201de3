"""One look for all figures: opaque background (dark mode), colours that colour-blind readers can tell apart."""

from __future__ import annotations

import numpy as np

# Okabe and Ito's palette without its yellow, which is too light on white: https://jfly.uni-koeln.de/color/
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def style() -> None:
    """Set matplotlib's defaults for the book: 7 inches at most, 10 point, sharp on high-density screens."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.figsize": (6.6, 3.6),
            "figure.dpi": 160,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.prop_cycle": plt.cycler(color=COLORS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "font.size": 10,
            "axes.titlesize": 10,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
        }
    )


def interval(ys, level: float = 0.95):
    """Mean and half width of the t interval over seeds: `ys` (seeds, k) -> (k,), (k,); zero width for one seed."""
    from scipy import special  # the quantile of scipy.stats, without its import

    ys = np.atleast_2d(np.asarray(ys, float))
    n = len(ys)
    if n < 2:
        return ys.mean(0), np.zeros(ys.shape[1])
    return ys.mean(0), special.stdtrit(n - 1, 0.5 + level / 2) * ys.std(0, ddof=1) / np.sqrt(n)


def band(ax, x, ys, label=None, color=None, marker=None, **kwargs):
    """Draw the mean over seeds with its 95 % interval as a band.

    Args:
        ax: axes. x: (k,). ys: (seeds, k). Other arguments go to `ax.plot`.
    """
    mean, half = interval(ys)
    (line,) = ax.plot(x, mean, label=label, color=color, marker=marker, **kwargs)
    ax.fill_between(x, mean - half, mean + half, color=line.get_color(), alpha=0.18, linewidth=0)
    return line


def bars(ax, values: dict, colors=None, unit: str = "%"):
    """Horizontal bars of means with 95 % intervals and every seed as a dot: `values` is {arm: (seeds,)}."""
    for row, ys in enumerate(values.values()):
        mean, half = interval(np.asarray(ys, float)[:, None])
        color = COLORS[0] if colors is None else colors[row]
        ax.barh(row, mean[0], xerr=half[0], color=color, alpha=0.75, error_kw={"capsize": 3, "linewidth": 1.2})
        ax.plot(ys, np.full(len(ys), row), ".", color="black", markersize=3, alpha=0.6)
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    ax.set_xlabel(unit)
    ax.grid(axis="y", visible=False)
