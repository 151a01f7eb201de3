"""One look for all figures: opaque background (dark mode), colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Mean and half width of the t interval over seeds: `ys` (seeds, k) -> (k,), (k,); zero width for one seed.

    A place where any seed has NaN gets NaN, which is drawn as a gap. Raises ValueError without seeds, or for another
    shape or level.
    """
    from scipy import special  # the quantile of scipy.stats, without its import

    ys = np.atleast_2d(np.asarray(ys, float))
    n = len(ys)
    if ys.ndim != 2 or not n or not 0 < level < 1:
        raise ValueError(f"An interval needs values (seeds, k) and a level between 0 and 1, got {ys.shape}, {level}.")
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


def points(
    ax,
    x,
    ys,
    label: str | None = None,
    color: str | None = None,
    marker: str = "o",
    offset: float = 0.0,
    horizontal: bool = False,
    **kwargs,
):
    """Draw means over seeds with their 95 % intervals as error bars.

    Args:
        ax: axes. x: (k,) places: numbers, or words, which get evenly spaced ticks of their own.
        ys: (seeds, k). offset: shifts the marks along the places, so that several arms stand side by side.
        horizontal: values run along the x axis and places along the y axis.
        kwargs: for `ax.errorbar`; marks are joined only if `linestyle="-"` is among them.

    Returns:
        matplotlib's container of the marks.
    """
    mean, half = interval(ys)
    if len(x) != len(mean):
        raise ValueError(f"There are {len(x)} places and {len(mean)} columns of values.")
    place = np.arange(len(x)) if any(isinstance(name, str) for name in x) else np.asarray(x, float)
    if any(isinstance(name, str) for name in x):
        (ax.set_yticks if horizontal else ax.set_xticks)(place, list(x))
    style = {"linestyle": "", "capsize": 3, "label": label, "color": color, "marker": marker} | kwargs
    if horizontal:
        return ax.errorbar(mean, place + offset, xerr=half, **style)
    return ax.errorbar(place + offset, mean, yerr=half, **style)


def legend_below(fig, ncols: int | None = None, **kwargs):
    """One legend under the figure, off the data: every label of its axes once, in the order of drawing.

    Args:
        fig: figure. ncols: columns; as many as there are labels, at most four, if None. kwargs: for `fig.legend`.

    Returns:
        The legend. Raises ValueError where nothing has a label.
    """
    entries: dict[str, object] = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    if not entries:
        raise ValueError("Nothing in this figure has a label: give label= when drawing.")
    if fig.get_layout_engine() is None:
        fig.set_layout_engine("constrained")  # else the legend would lie over the axes
    ncols = min(len(entries), 4) if ncols is None else ncols
    return fig.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=ncols, **kwargs)


def heatmap(
    ax,
    values,
    rows: Sequence[str],
    columns: Sequence[str],
    unit: str = "%",
    decimals: int = 0,
    center: float | None = None,
):
    """A table of numbers as colours, each number written in its cell; made by seaborn.

    Args:
        ax: axes. values: (rows, columns); NaN leaves a grey cell. rows, columns: their names.
        unit: beside the colour bar. decimals: of the numbers.
        center: the value without colour, for differences: then brown below and violet above, else white to blue.

    Returns:
        The axes.
    """
    import seaborn

    values = np.asarray(values, float)
    if values.shape != (len(rows), len(columns)) or not values.size:
        raise ValueError(f"A heat map needs ({len(rows)}, {len(columns)}) values, one at least; got {values.shape}.")
    if np.isinf(values).any():
        raise ValueError("A heat map has no colour for infinite values: leave them out as NaN.")
    seaborn.heatmap(
        values,
        ax=ax,
        mask=np.isnan(values),
        annot=True,
        fmt=f".{decimals}f",
        cmap="Blues" if center is None else "PuOr",
        center=center,
        xticklabels=list(columns),
        yticklabels=list(rows),
        linewidths=0.5,
        cbar_kws={"label": unit},
    )
    ax.set_facecolor("0.85")
    ax.grid(False)
    ax.tick_params(length=0, labelrotation=0)
    return ax


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
