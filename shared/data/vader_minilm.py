"""Sentence vectors of the rated texts by all-MiniLM-L6-v2 (see data_scripts/vader_minilm.py)."""

import torch

from shared.data import debian_minilm


def read(entry: dict) -> torch.Tensor:
    """Unit rows (14805, 384) float32: the first rows of `vader_ratings`, its movie snippets and tweets."""
    return debian_minilm.read(entry)
