"""Measures against loops and by hand, and what they do at their edges."""

import numpy as np
import pytest
import torch

from shared import metrics


def test_coverage_and_size_against_a_loop():
    rng = np.random.default_rng(0)
    sets, y = rng.random((200, 7)) < 0.4, rng.integers(7, size=200)
    hits = sum(bool(row[k]) for row, k in zip(sets, y))
    want = (100 * hits / 200, sum(int(row.sum()) for row in sets) / 200)
    assert metrics.coverage_and_size(sets, y) == pytest.approx(want)
    assert metrics.coverage_and_size(torch.from_numpy(sets), torch.from_numpy(y)) == pytest.approx(want)


def test_empty_and_full_sets_one_row_and_one_class():
    assert metrics.coverage_and_size(np.zeros((3, 4), bool), np.zeros(3, int)) == (0, 0)
    assert metrics.coverage_and_size(np.ones((3, 4), bool), np.zeros(3, int)) == (100, 4)
    assert metrics.coverage_and_size(np.ones((1, 1), bool), np.zeros(1, int)) == (100, 1)


SETS = np.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("sets", "y"),
    [
        (SETS[:0], np.zeros(0, int)),
        (SETS.astype(float), np.zeros(2, int)),
        (SETS, np.zeros(3, int)),
        (SETS, np.array([0, 3])),
        (SETS, np.array([0, -1])),
        (SETS, np.array([0.0, 1.0])),
        (SETS[0], np.zeros(3, int)),
    ],
)
def test_sets_that_make_no_sense_are_refused(sets, y):
    with pytest.raises(ValueError, match="Give sets|Labels must"):
        metrics.coverage_and_size(sets, y)


def test_accuracy_by_group_against_a_loop():
    rng = np.random.default_rng(1)
    counts = np.array([500, 101, 100, 50, 20, 19, 0])
    y, correct = rng.integers(7, size=300), rng.random(300) < 0.6
    by_class = [np.mean([c for c, k in zip(correct, y) if k == j]) for j in range(7)]
    want = {
        "many": 100 * (by_class[0] + by_class[1]) / 2,
        "medium": 100 * sum(by_class[2:5]) / 3,
        "few": 100 * sum(by_class[5:]) / 2,
        "all": 100 * sum(by_class) / 7,
    }
    assert metrics.many_medium_few(correct, y, counts) == pytest.approx(want)
    tensors = (torch.from_numpy(a) for a in (correct, y, counts))
    assert metrics.many_medium_few(*tensors) == pytest.approx(want)
    assert metrics.many_medium_few(correct.astype(float), y, counts, (50, 50)).keys() == {
        "many",
        "medium",
        "few",
        "all",
    }


def test_groups_and_classes_without_test_examples_are_left_out():
    found = metrics.many_medium_few([1, 1, 0], [0, 0, 3], [900, 200, 3, 4])
    assert found == {"many": 100, "few": 0, "all": 50}
    assert metrics.many_medium_few([True], [0], [1]) == {"few": 100, "all": 100}


@pytest.mark.parametrize(
    "words",
    [
        ([], np.zeros(0, int), [1]),
        ([1, 0], [0], [1]),
        ([1], [1], [1]),
        ([1], [-1], [1]),
        ([0.5], [0], [1]),
        ([np.nan], [0], [1]),
        ([1], [0.0], [1]),
        ([1], [0], [-1]),
        ([1], [0], [np.nan]),
        ([1], [0], [1], (20, 100)),
        ([[1]], [[0]], [1]),
    ],
)
def test_answers_that_make_no_sense_are_refused(words):
    with pytest.raises(ValueError):
        metrics.many_medium_few(*words)


def average_precision(scores, targets):
    """Precision at each positive, of equal scores together: mean over positives."""
    found = []
    for s, t in zip(scores, targets):
        if t:
            above = scores >= s
            found.append(targets[above].mean())
    return np.mean(found)


def test_mean_average_precision_against_a_loop():
    rng = np.random.default_rng(2)
    scores, targets = rng.integers(9, size=(60, 5)) / 9, rng.random((60, 5)) < [0.5, 0.1, 0, 1, 0.3]
    want = np.mean([average_precision(scores[:, k], targets[:, k]) for k in (0, 1, 3, 4)])  # class 2 has no positive
    assert metrics.mean_average_precision(scores, targets) == pytest.approx(100 * want)
    assert metrics.mean_average_precision(torch.from_numpy(scores), torch.from_numpy(targets)) == pytest.approx(
        100 * want
    )


def test_mean_average_precision_at_its_edges():
    one = np.array([[1], [0], [0], [0]])
    assert metrics.mean_average_precision(np.zeros((4, 1)), one) == 25  # constant scores: the share of positives
    assert metrics.mean_average_precision(one.astype(float), one) == 100
    assert metrics.mean_average_precision(np.zeros((1, 2)), [[1, 0]]) == 100
    for scores, targets in (
        (np.zeros((4, 1)), 0 * one),
        (np.full((4, 1), np.nan), one),
        (np.full((4, 1), np.inf), one),
        (np.zeros((4, 2)), one),
        (np.zeros((4, 1)), 0.5 * one),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ):
        with pytest.raises(ValueError):
            metrics.mean_average_precision(scores, targets)
