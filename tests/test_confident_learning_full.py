"""The code path of `full` offline: a mirror with small files of the form that the authors released."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from shared import data
from shared.data import label_errors
from tests.conftest import definitions

RULES = ("noise rate", "class", "both", "off-diagonal", "disagreement")


@pytest.fixture
def ns():
    return definitions("confident_learning")


def released(classes, n):
    """Labels, probabilities and votes as files; every 21st label is wrong, and the model knows."""
    truth = np.arange(n) % classes
    labels = np.where(np.arange(n) % 21 == 3, (truth + 1) % classes, truth).astype(np.uint16)
    probs = np.full((n, classes), 0.1 / (classes - 1))
    probs[np.arange(n), truth] = 0.9
    people = []
    for i in np.flatnonzero(labels != truth):
        given = 3 if len(people) % 4 == 3 else int(len(people) % 2)  # a quarter is kept
        votes = {"given": given, "guessed": (5 - given) * (len(people) % 2), "neither": 0, "both": 0}
        votes["neither"] = 5 - sum(votes.values())
        people.append({"id": int(i), "our_guessed_label": int(truth[i]), "mturk": votes})
    arrays = {"test_set_original_labels": labels, "test_set_pyx": probs}
    files = {"mturk.json": json.dumps(people).encode()}
    for name, array in arrays.items():
        np.save(buffer := io.BytesIO(), array)
        files[f"{name}.npy"] = buffer.getvalue()
    return files


def test_full_counts_the_released_sets_again(ns, mirror):
    sets = {name: released(classes, 420) for name, classes in label_errors.SETS.items()}
    mirror(
        "label_errors", {f"{name}_{file}": content for name, files in sets.items() for file, content in files.items()}
    )
    assert ns.released_sets("small") == {} and not data.loaded
    sets = ns.released_sets("full")
    assert list(sets) == ["CIFAR-10", "20 newsgroups"] and list(data.loaded) == ["label_errors"]
    assert [d.probs.shape for d in sets.values()] == [(420, 10), (420, 20)]
    for d in sets.values():
        estimate, flags, error, correctable, gains = ns.recount(d, RULES)
        assert estimate == len(d.checked) == 20
        assert error.sum() == 15 and correctable.sum() == 5
        assert list(flags)[:5] == list(RULES) and len(flags) == 7
        for rule, flag in flags.items():
            assert np.array_equal(np.flatnonzero(flag), d.checked), rule  # the ideal case
        assert gains["disagreement"].mean() == pytest.approx(0, abs=1e-9)  # it disagrees with all of them


def test_the_gain_is_that_of_checking_the_half_with_the_smallest_margins(ns):
    """Against a loop over the labels; the label of the largest other class is no margin."""
    rng = np.random.default_rng(1)
    n, checked = 60, np.arange(0, 60, 2)
    probs = rng.dirichlet(np.ones(3), n)
    labels = np.arange(n) % 3
    probs[np.arange(n), labels] += 0.5  # most agree, so the upper half holds positive margins too
    probs /= probs.sum(1, keepdims=True)
    margin = [p[y] - max(p[k] for k in range(3) if k != y) for p, y in zip(probs, labels)]
    votes = np.array([[rng.integers(6), 0, 0, 0] for _ in checked])
    d = SimpleNamespace(labels=labels, probs=probs, checked=checked, votes=votes)
    kept = probs.copy()
    estimate, flags, error, _, gains = ns.recount(d, RULES)
    assert np.array_equal(probs, kept)
    assert error.tolist() == [v[0] < 3 for v in votes]
    for name, score in {"margin": margin, "low self-confidence": probs[np.arange(n), labels]}.items():
        half = sorted(range(30), key=lambda i: score[checked[i]])[:15]
        assert gains[name].mean() == pytest.approx(100 * (error[half].mean() - error.mean()))
        lowest = sorted(range(n), key=lambda i: score[i])[:estimate]
        assert set(np.flatnonzero(flags[f"{name}, estimated count"])) == set(lowest)


def test_ties_at_the_border_of_the_half_share_what_is_left(ns):
    assert np.allclose(ns.upper_half(np.array([3.0, 1, 2, 2, 2, 9])), [0, 1, 2 / 3, 2 / 3, 2 / 3, 0])
    assert np.allclose(ns.upper_half(np.array([5.0, 1, 4])), [0, 1, 0.5])
    assert np.allclose(ns.upper_half(np.zeros(7, bool)), 0.5)
