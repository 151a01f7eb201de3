"""Graph convolutional networks of all seeds side by side (see `stack`), on dense features or on sparse bags of words.

Source: T. Kipf and M. Welling, ICLR 2017, arXiv:1609.02907.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

from shared import seeds as named
from shared.graph import spread


class Features:
    """Features of the nodes: (n, d) dense for each of S seeds, or one sparse matrix (n, d) for all of them.

    Attributes:
        shape: (S, n, d). kept: shape of what dropout draws for one seed, the entries that are not zero where sparse.
    """

    def __init__(self, x, S: int, device: torch.device | None = None):
        self.sparse = sp.issparse(x)
        if not self.sparse:
            self.x = torch.from_numpy(np.stack(x)).float().to(device)
            self.shape, self.kept = self.x.shape, self.x.shape[1:]
            return
        x = sp.csr_matrix(x)
        self.shape, self.kept = (S, *x.shape), x.data.shape
        seed = np.arange(S)[:, None]
        word = (x.indices + seed * x.shape[1]).ravel()
        start = (x.indptr[:-1] + seed * x.nnz).ravel()
        self.word, self.start = (torch.from_numpy(place.astype(np.int64)).to(device) for place in (word, start))
        self.x = torch.from_numpy(x.data).float().to(device)  # (words,)

    def times(self, W: torch.Tensor, mask=1.0) -> torch.Tensor:
        """W (S, d, h) -> (S, n, h), the features times `mask` (S, *kept) first."""
        if not self.sparse:
            return (self.x * mask) @ W
        S, _, h = W.shape
        each = (self.x * mask).expand(S, -1).reshape(-1)
        sums = F.embedding_bag(self.word, W.reshape(-1, h), self.start, mode="sum", per_sample_weights=each)
        return sums.view(S, -1, h)


class GCNs(nn.Module):
    """S independent graph convolutional networks with two layers, weights as Glorot draws them, offsets zero.

    Args:
        sizes: inputs, hidden units, outputs. seeds: S seeds; each draws its weights from its stream "init".

    Attributes:
        weights: [(S, sizes[0], sizes[1]), (S, sizes[1], sizes[2])]. biases: [(S, 1, sizes[1]), (S, 1, sizes[2])].
    """

    def __init__(self, sizes: Sequence[int], seeds: Sequence[int], device: torch.device | None = None):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        streams = [named.torch(seed, "init") for seed in seeds]
        for i, o in zip(sizes[:-1], sizes[1:]):
            draws = torch.stack([torch.rand(i, o, generator=g) for g in streams])
            self.weights.append(nn.Parameter((2 * draws - 1) * (6 / (i + o)) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, o)))
        self.to(device)

    def first(self, A: torch.Tensor, x: Features, mask=1.0) -> torch.Tensor:
        """A from `graph.to_torch` -> (S, n, sizes[1]), before any nonlinearity."""
        return spread(A, x.times(self.weights[0], mask)) + self.biases[0]

    def second(self, A: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """h (S, n, sizes[1]) -> (S, n, sizes[2])."""
        return spread(A, h @ self.weights[1]) + self.biases[1]

    def forward(self, A: torch.Tensor, x: Features, mask=1.0, hidden=1.0) -> torch.Tensor:
        """The usual network, a ReLU between its layers: (S, n, sizes[2]), its inputs times masks."""
        return self.second(A, self.first(A, x, mask).relu() * hidden)


def masks(
    seeds: Sequence[int], purpose: str, shape: Sequence[int], rate: float = 0.5, device: torch.device | None = None
) -> Iterator[torch.Tensor]:
    """Dropout masks (S, *shape) without end, each seed's from a stream of its own: 0 with chance `rate`, else 1 / (1 - rate)."""
    if not 0 <= rate < 1:
        raise ValueError(f"Dropout needs a rate from 0 to below 1, got {rate}.")
    streams = [named.torch(seed, f"dropout of {purpose}") for seed in seeds]
    while True:
        drawn = torch.stack([torch.rand(shape, generator=g) for g in streams])
        yield (drawn >= rate).float().to(device) / (1 - rate)
