"""Answers of paid workers to multiple-choice questions, as the authors of TopTwo published them: four crowds."""

from types import SimpleNamespace

import numpy as np

from shared.crowd import MISSING
from shared.data import DataError, fetch_all

# First index, and which column is the worker's; the third column is the answer.
LAYOUT = {"color": (0, 0), "dog": (1, 1), "web": (1, 1), "trec": (1, 1)}


def _table(path, columns: int) -> np.ndarray:
    try:
        table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is no table of whole numbers ({error}): delete it and fetch it again.") from None
    if table.shape[1] != columns:
        raise DataError(f"{path} has {table.shape[1]} columns instead of {columns}: delete it and fetch it again.")
    return table


def _by_item(path, first: int, items: int) -> np.ndarray:
    listed, column = _table(path, 2) - first, np.full(items, MISSING)
    column[listed[:, 0]] = listed[:, 1]
    return column


def read(entry: dict) -> SimpleNamespace:
    """color, dog, web, trec: each a crowd.

    votes: (items, workers) int64, -1 where there is none; of two answers of one worker to one item the last
    counts, as in the authors' program. truth: (items,), -1 where it was not published. confuser: (items,) the second answer of those who made
    the item so, color only, else None. classes: number of classes.
    """
    files = fetch_all(entry)
    crowds = {}
    for name, (first, column) in LAYOUT.items():
        given = _table(files[f"{name}.txt"], 3) - first
        worker, item, answer = given[:, column], given[:, 1 - column], given[:, 2]
        if given.min() < 0:
            raise DataError(f"{files[f'{name}.txt']} holds numbers below {first}: delete it and fetch it again.")
        votes = np.full((item.max() + 1, worker.max() + 1), MISSING)
        cells, lasts = np.unique((item * votes.shape[1] + worker)[::-1], return_index=True)
        votes.flat[cells] = answer[::-1][lasts]

        crowds[name] = SimpleNamespace(
            votes=votes,
            truth=_by_item(files[f"{name}_truth.txt"], first, len(votes)),
            confuser=_by_item(files[f"{name}_conf.txt"], first, len(votes)) if f"{name}_conf.txt" in files else None,
            classes=int(answer.max()) + 1,
        )
    return SimpleNamespace(**crowds)
