"""From what a notebook gives to what its record stores: the only code that results pass on their way into a record.

It is part of every result hash, unlike the rest of what writes records; so it is small and seldom touched.
"""

from __future__ import annotations

import math


def plain(value):
    """Arrays, tensors, tuples and ranges as JSON's own types."""
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(v) for v in value]
    return value


def numbers(values, what: str) -> list:
    """Numbers as floats, nested as given. Raises ValueError for one that is not finite."""
    if isinstance(values, list):
        return [numbers(value, what) for value in values]
    if not math.isfinite(values):
        raise ValueError(f"{what}: {values} is not a finite number.")
    return float(values)


def per_seed(values, what: str) -> list[float]:
    """(seeds,) values as floats."""
    return numbers(list(plain(values)), what)


def from_items(items, unit: str, what: str) -> tuple[list[float], list[float]]:
    """Values and item sums of an arm whose seeds share the test items.

    Args:
        items: (seeds, items) scores, in 0..1 where the unit is "%", else in the unit.

    Returns:
        (seeds,) means in the unit, and (items,) sums over seeds of the scores as given.
    """
    import numpy as np

    scores = np.asarray(plain(items), float)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"{what}: items must be a (seeds, items) array with at least two items, got {scores.shape}.")
    factor = 100.0 if unit == "%" else 1.0
    sums = [float(f"{value:.8g}") for value in scores.sum(0)]
    return numbers((factor * scores.mean(1)).tolist(), what), numbers(sums, what)


def item_standard_error(ours_items, baseline_items=None) -> float:
    """Standard error that a test set shared by all seeds adds to a mean effect.

    Args:
        ours_items: (seeds, items) score of every test item, whose mean is the metric. baseline_items: the same for
            the baseline, items in the same order, or None.

    Returns:
        What a paired bootstrap over test items would give as the standard deviation of the mean effect, in
        closed form: sd over items of the seed-averaged paired difference, over sqrt(items).
    """
    import numpy as np

    scores = np.asarray(plain(ours_items), float)
    if baseline_items is not None:
        other = np.asarray(plain(baseline_items), float)
        if other.shape != scores.shape:
            raise ValueError(f"ours_items {scores.shape} and baseline_items {other.shape} must have one shape.")
        scores = scores - other
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError("Items must be a (seeds, items) array with at least two items.")
    per_item = scores.mean(0)
    return float(per_item.std(ddof=1) / math.sqrt(len(per_item)))


def means(items) -> list[float]:
    """(seeds, items) -> (seeds,) means."""
    import numpy as np

    return np.asarray(plain(items), float).mean(axis=-1).tolist()
