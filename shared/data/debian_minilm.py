"""Sentence vectors of the Debian descriptions by all-MiniLM-L6-v2 (see data_scripts/debian_minilm.py)."""

import io

import numpy as np
import torch

from shared.data import embedded


def read(entry: dict) -> torch.Tensor:
    """Unit rows (packages, 384) float32, in the order of `debian_packages`; stored in 8 bits."""
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        vectors = torch.from_numpy(file["codes"].astype(np.float32) * file["scale"].astype(np.float32))
    return torch.nn.functional.normalize(vectors, dim=1)
