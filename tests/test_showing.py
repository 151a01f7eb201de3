"""Cells that only show must not move a later result."""

import pytest

from book.tools.papers.showing import offences

COMPUTE, SHOW = set(), {"show"}
START = ("import torch\nimport numpy as np\ndef f(x):\n    return x + shift\nshift, runs = 1, [1, 2]\n", COMPUTE)
END = ("total = sum(runs)\npaper.report()\n", COMPUTE)


def told(*showing, after=END):
    return offences([START, *((code, SHOW) for code in showing), after])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("runs = []", "reads runs, which cell 2 binds"),
        ("for runs in [[1], [2]]:\n    print(runs)", "reads runs"),
        ("shift = 2", "binds shift, which a function of a computing cell reads"),
        ("runs.append(3)", "changes runs: .append()"),
        ("runs[0] = 3", "changes runs"),
        ("runs.sort()", "changes runs"),
        ("model.weight.zero_()", "changes model: .zero_()"),
        ("x = torch.randn(3)", "global stream: torch.randn"),
        ("x = np.random.rand(3)", "global stream: np.random.rand"),
        ("net = nn.Linear(2, 2)", "nn.Linear is initialised"),
        ("torch.manual_seed(0)", "changes torch: .manual_seed()"),
        ("paper.arm('a', 'b', runs)", "calls paper.arm"),
        ("paper.report()", "calls paper.report"),
    ],
)
def test_what_could_move_a_result_is_told(code, says):
    found = told(code)
    assert any(says in sentence for sentence in found), found


@pytest.mark.parametrize(
    "code",
    [
        "fig, ax = plt.subplots()\nax.plot(runs)\nax.set(title='x')\nfig.legend()\nplt.show()",
        "rows = [{'a': r} for r in runs]\nrows.append({'a': 0})\npaper.table(rows)",
        "paper.say(f'{np.mean(runs):.1f} on {paper.scale}')",
        "g = torch.Generator().manual_seed(0)\nx = torch.randn(3, generator=g)",
        "rng = np.random.default_rng(0)\nx = rng.normal(size=3)",
        "def draw(ax, values):\n    values = list(values)\n    values.append(1)\n    ax.plot(values)\ndraw(None, runs)",
    ],
)
def test_what_only_shows_passes(code):
    assert told(code) == []


def test_the_last_cells_may_train_as_they_like():
    assert offences([START, END, ("net = nn.Linear(2, 2)\nnet.train()\nruns.append(1)", {"solution"})]) == []
    assert offences([START, END, ("paper.arm('a', 'b', runs)", {"own-data"})])  # but they record nothing


def test_a_name_bound_again_by_a_computing_cell_is_its_own():
    again = ("runs = [3]\ntotal = sum(runs)\n", COMPUTE)
    assert told("runs = []", after=again) == []
