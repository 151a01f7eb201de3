"""WordNet's example sentences: in each, one word whose part of speech is known."""

import json
import lzma
from types import SimpleNamespace

import numpy as np

from shared.data import embedded


def read(entry: dict) -> SimpleNamespace:
    """One item a row, sorted by sentence.

    Returns:
        sentence: list of str, tokens between single spaces; position: (n,) int64, which token is meant, from 0;
        tag: (n,) int64, row of `names`; names: ("noun", "verb", "adj", "adv").
    """
    columns = json.loads(lzma.decompress(embedded(entry)))
    return SimpleNamespace(
        sentence=columns["sentence"],
        position=np.array(columns["position"]),
        tag=np.array(columns["tag"]),
        names=("noun", "verb", "adj", "adv"),
    )
