"""Graphs as sparse matrices: the dependency graph of Debian, normalisations, propagation of labels."""

from __future__ import annotations

import functools
import itertools
import warnings

import numpy as np
import scipy.sparse as sp


def dependency_graph(packages, max_degree: int = 150) -> tuple[sp.csr_matrix, np.ndarray]:
    """Which packages need each other: hubs removed, then the largest connected part.

    Args:
        packages: what `load("debian_packages")` returns.
        max_degree: packages with more neighbours are dropped (nearly everything needs them).

    Returns:
        A (n, n): 1 where one package depends on the other or recommends it, symmetric, no loops; and rows (n,):
        the packages' places in the data set. Without any package within the limit both are empty.
    """
    n = len(packages.name)
    targets = [[*a, *b] for a, b in zip(packages.depends, packages.recommends)]
    i = np.repeat(np.arange(n), [len(t) for t in targets])
    j = np.fromiter(itertools.chain.from_iterable(targets), int)
    A = sp.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    A = A + A.T
    A.setdiag(0)
    A.eliminate_zeros()
    A.data[:] = 1.0
    keep = np.flatnonzero(np.diff(A.indptr) <= max_degree)
    A = A[keep][:, keep]
    part = largest_part(A)
    return A[part][:, part].tocsr(), keep[part]


def largest_part(A: sp.csr_matrix) -> np.ndarray:
    """Nodes of the largest connected part of A (n, n), in order: of equal ones the first, of no nodes none."""
    from scipy.sparse.csgraph import connected_components

    if not A.shape[0]:
        return np.zeros(0, int)
    part = connected_components(A)[1]
    return np.flatnonzero(part == np.bincount(part).argmax())


def normalise(A: sp.csr_matrix, how: str = "symmetric") -> sp.csr_matrix:
    """A (n, n) scaled by degrees; nodes without edges keep a row and a column of zeros.

    Args:
        A: weights from 0; a loop counts once in its node's degree.
        how: "symmetric" for D^-1/2 A D^-1/2 with row sums d = A 1, "column" for A divided by its column sums (each
            column sums to one: a node shares itself out), "gcn" for the symmetric one of A + I, as in graph
            convolutional networks (Kipf and Welling 2017, arXiv:1609.02907).

    Raises:
        ValueError: another name, a graph that is not square, weights below 0 or not finite; "symmetric" and "gcn"
            of a graph that is not symmetric, where row and column sums would differ.
    """
    if how not in ("symmetric", "column", "gcn"):
        raise ValueError(f'Unknown normalisation {how!r}: choose "symmetric", "column" or "gcn".')
    A = sp.csr_matrix(A, dtype=float)
    if A.shape[0] != A.shape[1] or not (np.isfinite(A.data).all() and (A.data >= 0).all()):
        raise ValueError(f"A graph is a square matrix of finite weights from 0, got shape {A.shape}.")
    if how != "column" and A.nnz and abs(A - A.T).max() > 1e-9 * A.data.max():
        raise ValueError(f"Normalisation {how!r} is for symmetric graphs: this one has edges of one direction.")
    if how == "gcn":
        A = A + sp.identity(A.shape[0], format="csr")
    degree = np.asarray(A.sum(0)).ravel()  # of columns; of rows alike where A is symmetric
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    if how == "column":
        return (A @ sp.diags(inverse)).tocsr()
    root = sp.diags(np.sqrt(inverse))
    return (root @ A @ root).tocsr()


def to_torch(graphs, device=None):
    """Graphs of equal size side by side: list of S matrices (n, n) -> one sparse float32 tensor (S n, S n).

    Multiply it with `spread`. Raises ValueError where there is no graph, or their sizes differ.
    """
    import torch

    if not len(graphs) or any(A.shape != (graphs[0].shape[0],) * 2 for A in graphs):
        raise ValueError(f"Give one graph or more, square and of one size; got {[A.shape for A in graphs]}.")

    A = sp.block_diag(graphs, format="csr").astype(np.float32)
    warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)", category=UserWarning)
    pieces = [torch.from_numpy(a.astype(np.int64)) for a in (A.indptr, A.indices)]
    return torch.sparse_csr_tensor(*pieces, torch.from_numpy(A.data), A.shape).to(device)


def spread(A, x):
    """A (S n, S n) from `to_torch` times x (S, n, c), graph by graph -> (S, n, c).

    Differentiable in x where A is symmetric: then the gradient is A times that of the result, and no transpose is
    formed anew in every step. Raises ValueError where the sizes do not fit.
    """
    if x.dim() != 3 or A.shape[1] != x.shape[0] * x.shape[1]:
        raise ValueError(f"A of {A.shape[1]} nodes takes x (S, n, c) with S n = {A.shape[1]}, got {tuple(x.shape)}.")
    return _function().apply(A, x) if x.requires_grad else _product(A, x)


def _product(A, x):
    return (A @ x.reshape(-1, x.shape[-1])).reshape(x.shape)


@functools.cache
def _function():
    import torch

    class Spread(torch.autograd.Function):
        @staticmethod
        def forward(ctx, A, x):
            ctx.A = A
            return _product(A, x)

        @staticmethod
        def backward(ctx, gradient):
            return None, _product(ctx.A, gradient)

    return Spread


def propagate(A, y, steps: int, keep: float):
    """`steps` times: y <- (1 - keep) A y + keep y, for A from `to_torch` and y (S, n, c).

    Raises:
        ValueError: keep outside [0, 1], or fewer than no steps.
    """
    if not 0 <= keep <= 1 or steps < 0:
        raise ValueError(f"Propagation needs keep from 0 to 1 and steps from 0, got {keep} and {steps}.")
    for _ in range(steps):
        y = (1 - keep) * spread(A, y) + keep * y
    return y
