"""Crowd ratings of the sentiment of short texts, without the texts (see data_scripts/vader.py)."""

import io
from types import SimpleNamespace

import numpy as np

from shared.data import embedded


def read(entry: dict) -> SimpleNamespace:
    """domain (n,) str, id (n,) str, hit (n,) int: -1 outside "movie"; ratings: one int8 array per row, -4 to 4.

    Inside one hit (30 rows) place j of `ratings` is the same rater; elsewhere places are no raters.
    """
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        ends = np.cumsum(file["raters"].astype(np.int64))[:-1]
        return SimpleNamespace(
            domain=file["domains"][file["domain"]],
            id=file["id"],
            hit=file["hit"].astype(np.int64),
            ratings=np.split(file["ratings"], ends),
        )
