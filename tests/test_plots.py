"""Figures: what is drawn stands where the numbers are, and looks as the book's figures do."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from shared import plots


@pytest.fixture(autouse=True)
def figure_style():
    with matplotlib.rc_context():
        plots.style()
        yield
    plt.close("all")


def values(seeds=6, k=3):
    return np.random.default_rng(seeds).normal(70, 5, (seeds, k)) + np.arange(k)


def drawn(container):
    """Places, means and half widths of error bars, from what was drawn."""
    line, _, (segments,) = container
    ends = np.array(segments.get_segments())
    return line.get_xdata(), line.get_ydata(), ends


def test_the_interval_is_scipys():
    ys = values()
    mean, half = plots.interval(ys, 0.9)
    for k in range(3):
        low, high = stats.t.interval(0.9, 5, ys[:, k].mean(), stats.sem(ys[:, k]))
        assert (mean[k] - half[k], mean[k] + half[k]) == pytest.approx((low, high))


def test_an_interval_of_one_seed_of_constants_and_of_nan():
    mean, half = plots.interval([1.0, 2.0])
    assert mean.tolist() == [1, 2] and half.tolist() == [0, 0]
    assert plots.interval(np.full((4, 2), 3.0))[1].tolist() == [0, 0]
    mean, half = plots.interval([[1, np.nan], [2, 3]])
    assert mean[0] == 1.5 and np.isnan([mean[1], half[1]]).all()
    for bad in (np.zeros((0, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="An interval needs"):
            plots.interval(bad)
    with pytest.raises(ValueError, match="An interval needs"):
        plots.interval(values(), level=1.0)


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("words", [False, True])
def test_points_stand_at_their_places_with_their_intervals(horizontal, words):
    fig, ax = plt.subplots()
    ys, x = values(), ["few", "some", "all"] if words else [0.5, 2, 8]
    mean, half = plots.interval(ys)
    for offset, color in ((0.0, plots.COLORS[0]), (0.2, plots.COLORS[1])):
        style = dict(label=f"arm {offset}", color=color, marker="s", offset=offset, horizontal=horizontal)
        container = plots.points(ax, x, ys, **style)
        across, up, ends = drawn(container)
        place, value = (up, across) if horizontal else (across, up)
        np.testing.assert_allclose(place, np.arange(3) + offset if words else np.array(x) + offset)
        np.testing.assert_allclose(value, mean)
        along = 0 if horizontal else 1
        np.testing.assert_allclose(ends[:, 0, along], mean - half)
        np.testing.assert_allclose(ends[:, 1, along], mean + half)
        assert container[0].get_linestyle() == "None" and container[0].get_marker() == "s"
        assert container[0].get_color() == color
    if words:
        axis = ax.yaxis if horizontal else ax.xaxis
        assert [t.get_text() for t in axis.get_ticklabels()] == x and axis.get_ticklocs().tolist() == [0, 1, 2]
    fig.canvas.draw()
    assert ax.get_legend_handles_labels()[1] == ["arm 0.0", "arm 0.2"]


def test_points_may_be_joined_have_gaps_and_one_seed():
    fig, ax = plt.subplots()
    ys = values()
    ys[0, 1] = np.nan
    line = plots.points(ax, [0, 1, 2], ys, linestyle="-")[0]
    assert line.get_linestyle() == "-" and np.isnan(line.get_ydata()[1])
    plots.points(ax, ["a"], [[5.0]])
    fig.canvas.draw()
    with pytest.raises(ValueError, match="2 places and 3 columns"):
        plots.points(ax, [0, 1], ys)


def test_the_legend_stands_below_all_axes_with_every_label_once():
    fig, axes = plt.subplots(1, 2)
    for ax in axes:
        for label in ("ELR", "CE", "_hidden"):
            ax.plot([0, 1], [0, 1], label=label)
    axes[1].plot([0, 1], [1, 0], label="only here")
    legend = plots.legend_below(fig)
    fig.canvas.draw()
    assert [t.get_text() for t in legend.get_texts()] == ["ELR", "CE", "only here"]
    box = legend.get_window_extent()
    assert all(box.y1 <= ax.get_tightbbox().y0 + 1 for ax in axes)
    assert box.y0 >= 0 and box.x0 >= 0 and box.x1 <= fig.bbox.x1
    with pytest.raises(ValueError, match="has a label"):
        plots.legend_below(plt.figure())


def test_the_legend_is_off_the_data_without_the_books_style_too():
    with plt.rc_context({"figure.constrained_layout.use": False}):
        fig, ax = plt.subplots()
        ax.plot([0, 1], label="a")
        legend = plots.legend_below(fig, ncols=1)
        fig.canvas.draw()
        assert legend.get_window_extent().y1 <= ax.get_tightbbox().y0 + 1


def test_a_heat_map_writes_its_numbers_and_names():
    fig, ax = plt.subplots()
    table = np.array([[1.26, 50.0], [np.nan, 99.04], [0.0, 100.0]])
    plots.heatmap(ax, table, ["a", "b", "c"], ["x", "y"], unit="accuracy, %", decimals=1)
    fig.canvas.draw()
    assert [t.get_text() for t in ax.texts] == ["1.3", "50.0", "99.0", "0.0", "100.0"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x", "y"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    assert fig.axes[1].get_ylabel() == "accuracy, %"
    assert [t.get_color() for t in ax.texts] == ["black", "black", "white", "black", "white"]


@pytest.mark.parametrize("center", [None, 0])
def test_every_number_of_a_heat_map_can_be_read(center):
    """A contrast of 4.5 at least, as WCAG asks for."""
    import seaborn

    _, ax = plt.subplots()
    table = np.linspace(-1, 1, 40).reshape(4, 10)
    table[1, 3] = np.nan
    plots.heatmap(ax, table, list("abcd"), list("0123456789"), center=center)
    for text in ax.texts:
        column, row = (int(v) for v in text.get_position())
        cell = ax.collections[0].to_rgba(table[row, column])
        assert text.get_text() == f"{table[row, column]:.0f}"
        light, dark = sorted((seaborn.utils.relative_luminance(c) for c in (cell, text.get_color())), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert len(ax.texts) == 39


def test_a_heat_map_of_differences_has_its_white_at_the_centre():
    fig, ax = plt.subplots()
    plots.heatmap(ax, [[-2.0, 0.0, 8.0]], ["lead"], list("abc"), unit="points", center=0)
    low, middle, high = ax.collections[0].to_rgba([-2.0, 0.0, 8.0])[:, :3]
    assert middle.min() > 0.9 and high.min() < 0.3 and low[0] > low[2]  # violet where it leads, brown where it lags


def test_a_heat_map_of_one_cell_and_of_nonsense():
    _, ax = plt.subplots()
    plots.heatmap(ax, [[5]], ["a"], ["b"])
    for bad in (np.zeros((2, 2)), np.zeros((0, 0)), np.zeros(1), [[np.inf]]):
        with pytest.raises(ValueError, match="heat map"):
            plots.heatmap(ax, bad, ["a"], ["b"])


def test_bands_and_bars_show_means_and_seeds():
    fig, (left, right) = plt.subplots(1, 2)
    ys = values()
    mean, half = plots.interval(ys)
    line = plots.band(left, [0, 1, 2], ys, label="arm", color=plots.COLORS[2])
    np.testing.assert_allclose(line.get_ydata(), mean)
    corners = left.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx((mean - half).min()) and corners[:, 1].max() == pytest.approx(
        (mean + half).max()
    )
    plots.bars(right, {"a": ys[:, 0], "b": ys[:, 1]})
    assert [bar.get_width() for bar in right.patches] == pytest.approx(mean[:2])
    fig.canvas.draw()
    assert [t.get_text() for t in right.get_yticklabels()] == ["a", "b"]
