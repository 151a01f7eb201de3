"""A reader's own arrays: checked before a notebook's function for own data uses them, in one clear sentence."""

from __future__ import annotations

import numpy as np


def rows(x, like=None, name: str = "x", within: tuple | None = None) -> np.ndarray:
    """Finite numbers, one row an example.

    Args:
        x: (n, ...) array, tensor on the CPU, or nested list of numbers; n from 1.
        like: (m, ...) array whose rows have the same shape. name: what the reader calls x.
        within: the smallest and the largest number that may occur, such as (0, 1) for probabilities.

    Returns:
        (n, ...) float32, a copy.

    Raises:
        ValueError: ragged lists, words, no row, rows of another shape, missing or infinite values,
            numbers outside of `within`.
    """
    try:
        x = np.array(x, dtype=np.float32)
    except (ValueError, TypeError):
        raise ValueError(f"{name} needs numbers, as many in each row.") from None
    if x.ndim < 2 or not x.size:
        raise ValueError(f"{name} needs one row an example and one column or more, not the shape {x.shape}.")
    if like is not None and x.shape[1:] != np.shape(like)[1:]:
        raise ValueError(f"{name} has rows of shape {x.shape[1:]}, not {np.shape(like)[1:]} as the others.")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} has missing or infinite values: fill them in, or leave these rows out.")
    if within and not ((x >= within[0]) & (x <= within[1])).all():
        raise ValueError(
            f"{name} runs from {x.min():g} to {x.max():g}: numbers from {within[0]} to {within[1]}, please."
        )
    return x


def labels(y, n: int, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Class labels as whole numbers from 0, and what each number stands for.

    Args:
        y: n labels, whole numbers or words; two different ones at least. n: rows that they belong to.
        name: what the reader calls y.

    Returns:
        codes (n,) int64 from 0 to K - 1; names (K,) sorted, so that names[codes] are the labels again.

    Raises:
        ValueError: not one label a row, missing labels, fractions, fewer than two classes.
    """
    y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(f"{name} needs one label a row: {n} rows, labels of shape {y.shape}.")
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == y.round()).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "biuUS":
        raise ValueError(f"{name} needs whole numbers or words, none of them missing.")
    names, codes = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{name} needs two classes or more.")
    return codes.astype(np.int64), names
