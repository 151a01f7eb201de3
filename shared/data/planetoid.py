"""Citation graphs in the files of Yang et al. (2016): pickles, of which only arrays and plain containers are read."""

import importlib
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
import torch

from shared.data import DataError, fetch_all

# All that these pickles of Python 2 may name, and what it is called today.
SAFE = {
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("scipy.sparse.csr", "csr_matrix"): ("scipy.sparse", "csr_matrix"),
    ("scipy.sparse._csr", "csr_matrix"): ("scipy.sparse", "csr_matrix"),
    ("collections", "defaultdict"): ("collections", "defaultdict"),
    ("__builtin__", "list"): ("builtins", "list"),
    ("builtins", "list"): ("builtins", "list"),
    ("_codecs", "encode"): ("_codecs", "encode"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in SAFE:
            raise DataError(f"The file names {module}.{name}, which is no part of a table: it is not opened further.")
        module, name = SAFE[module, name]
        return getattr(importlib.import_module(module), name)


def _load(path: Path):
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is no readable table ({error}): delete it, so that it is fetched again.") from None


def read(entry: dict) -> SimpleNamespace:
    """One graph, as the public split cuts it.

    Returns:
        A: (n, n) float64 csr adjacency, symmetric, ones, no loops; x: (n, d) float32, rows that sum to 1 (or 0);
        y: (n,) int64, -1 for the few test nodes of Citeseer that the files say nothing about; train, val, test:
        row numbers.
    """
    files = {name.rsplit(".", 1)[1]: path for name, path in fetch_all(entry).items()}
    order = np.loadtxt(files.pop("index"), dtype=np.int64)  # rows of tx and ty in the graph
    x, y, tx, ty, allx, ally, graph = (_load(files[part]) for part in ("x", "y", "tx", "ty", "allx", "ally", "graph"))
    known, n = allx.shape[0], max(len(graph), int(order.max()) + 1)
    if allx.shape[0] != len(ally) or tx.shape[0] != len(ty) or len(order) != len(ty) or order.min() < known:
        raise DataError(f"The files of {entry['title']} do not fit each other: fetch them again.")
    features = sp.lil_matrix((n, allx.shape[1]), dtype=np.float32)
    features[:known], features[order] = allx, tx
    labels = np.full(n, -1)
    labels[:known], labels[order] = ally.argmax(1), ty.argmax(1)
    rows = np.repeat(list(graph), [len(ends) for ends in graph.values()])
    columns = np.concatenate([np.asarray(ends, dtype=np.int64) for ends in graph.values()])
    A = sp.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()
    A = ((A + A.T) > 0).astype(float)
    A.setdiag(0)
    A.eliminate_zeros()
    dense = features.toarray()
    dense /= np.maximum(dense.sum(1, keepdims=True), 1e-12)
    return SimpleNamespace(
        A=A.tocsr(),
        x=torch.from_numpy(dense),
        y=torch.from_numpy(labels),
        train=np.arange(len(y)),
        val=np.arange(len(y), len(y) + 500),
        test=np.sort(order),
    )
