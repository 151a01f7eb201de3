"""Measures that several papers report, with their edge cases decided; thin over scikit-learn where it has them."""

from __future__ import annotations

import numpy as np


def _arrays(*arrays) -> list[np.ndarray]:
    return [np.asarray(a.detach().cpu() if hasattr(a, "detach") else a) for a in arrays]


def coverage_and_size(sets, y) -> tuple[float, float]:
    """How often prediction sets contain the label, and how large they are.

    Args:
        sets: (n, classes) bool, True where a class is in the set; a set may be empty. y: (n,) labels.

    Returns:
        Coverage in percent, and the mean number of classes in a set.

    Raises:
        ValueError: no rows, other shapes or types, labels outside the classes.
    """
    sets, y = _arrays(sets, y)
    if sets.ndim != 2 or sets.dtype != bool or y.shape != sets.shape[:1] or not len(y):
        raise ValueError(f"Give sets (n, classes) of bool and labels (n,), got {sets.dtype} {sets.shape}, {y.shape}.")
    if y.dtype.kind not in "iu" or not 0 <= y.min() <= y.max() < sets.shape[1]:
        raise ValueError(f"Labels must be whole numbers in 0..{sets.shape[1] - 1}.")
    return 100.0 * float(sets[np.arange(len(y)), y].mean()), float(sets.sum(1).mean())


def many_medium_few(correct, y, counts, cuts: tuple[int, int] = (100, 20)) -> dict[str, float]:
    """Accuracy of frequent, middling and rare classes: the mean over the classes of a group of their accuracies.

    Args:
        correct: (n,) bool or 0/1, whether each test example was answered right. y: (n,) true classes.
        counts: (classes,) training examples of each class.
        cuts: classes with more than the first number are "many", with fewer than the second "few".

    Returns:
        Percentages of "many", "medium", "few" and "all"; a group without a tested class is left out, and a class
        without test examples counts nowhere.

    Raises:
        ValueError: no examples, other shapes, labels outside the classes, cuts that are not in falling order, answers
            other than right and wrong.

    Source: Z. Liu and others, CVPR 2019, arXiv:1904.05160.
    """
    correct, y, counts = _arrays(correct, y, counts)
    if correct.ndim != 1 or correct.shape != y.shape or not len(y) or counts.ndim != 1:
        raise ValueError(
            f"Give correct (n,), y (n,), counts (classes,), got {correct.shape}, {y.shape}, {counts.shape}."
        )
    if y.dtype.kind not in "iu" or not 0 <= y.min() <= y.max() < len(counts) or not np.isin(correct, (0, 1)).all():
        raise ValueError(f"Labels are whole numbers in 0..{len(counts) - 1}, answers right (1) or wrong (0).")
    if cuts[0] < cuts[1] or not (counts >= 0).all():
        raise ValueError(f"The cut of many-shot, {cuts[0]}, lies above that of few-shot, {cuts[1]}; counts from 0.")
    tested = np.bincount(y, minlength=len(counts))
    hits = np.bincount(y, weights=correct.astype(float), minlength=len(counts))
    group = np.where(counts > cuts[0], "many", np.where(counts < cuts[1], "few", "medium"))
    found = {}
    for name in ("many", "medium", "few", "all"):
        rows = (tested > 0) & ((group == name) | (name == "all"))
        if rows.any():
            found[name] = 100.0 * float((hits[rows] / tested[rows]).mean())
    return found


def mean_average_precision(scores, targets) -> float:
    """Mean over the classes of average precision, in percent; classes without a positive example are skipped.

    Args:
        scores: (n, classes), higher where the class is thought present. Equal scores are taken together, so constant
            scores give a class its share of positives.
        targets: (n, classes) bool or 0/1.

    Raises:
        ValueError: no positive at all, other shapes, scores that are not finite.
    """
    from sklearn.metrics import average_precision_score

    scores, targets = _arrays(scores, targets)
    if scores.ndim != 2 or scores.shape != targets.shape or not np.isin(targets, (0, 1)).all():
        raise ValueError(f"Give scores (n, classes) and targets of 0 and 1 alike, got {scores.shape}, {targets.shape}.")
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite: they are NaN or infinite somewhere.")
    present = targets.astype(bool).any(0)
    if not present.any():
        raise ValueError("No class has a positive example: there is no average precision.")
    return 100.0 * float(
        np.mean([average_precision_score(t, s) for t, s in zip(targets.T[present], scores.T[present])])
    )
