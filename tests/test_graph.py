"""Graphs: normalisation, propagation, the dependency graph."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from shared import graph


def random_graph(n=12, seed=0):
    """Symmetric, with one node that has no edge."""
    A = np.triu(np.random.default_rng(seed).random((n, n)) < 0.3, 1)
    A[:, 4] = A[4] = False
    return sp.csr_matrix((A | A.T).astype(float))


@pytest.mark.parametrize("how", ["symmetric", "column", "gcn"])
def test_normalisation_against_loops(how):
    A = random_graph()
    dense = A.toarray() + (np.eye(12) if how == "gcn" else 0)
    degree, want = dense.sum(1), np.zeros_like(dense)
    for i, j in zip(*dense.nonzero()):
        want[i, j] = dense[i, j] / (degree[j] if how == "column" else np.sqrt(degree[i] * degree[j]))
    assert np.allclose(graph.normalise(A, how).toarray(), want)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="Unknown normalisation 'row'"):
        graph.normalise(random_graph(), "row")


def test_propagation_against_dense_powers():
    graphs = [graph.normalise(random_graph(seed=s), "column") for s in (0, 1)]
    y = torch.rand(2, 12, 3)
    got = graph.propagate(graph.to_torch(graphs), y, 4, 0.6)
    for s, A in enumerate(graphs):
        step = 0.4 * A.toarray() + 0.6 * np.eye(12)
        assert np.allclose(got[s], np.linalg.matrix_power(step, 4) @ y[s].numpy(), atol=1e-6)


def test_gradient_of_spread_against_dense():
    A = graph.normalise(random_graph(), "gcn")
    x, weight = torch.rand(1, 12, 3, requires_grad=True), torch.rand(1, 12, 3)
    (graph.spread(graph.to_torch([A]), x) * weight).sum().backward()
    assert np.allclose(x.grad[0], A.toarray().T @ weight[0].numpy(), atol=1e-6)


def test_dependency_graph_drops_hubs_and_keeps_the_largest_part():
    # 0 is a hub; 1-2-3 and 4-5 are left; 6 depends on itself only
    depends = [[], [0, 2], [0, 3], [0], [0, 5], [0], [0, 6]]
    packages = SimpleNamespace(name=list("abcdefg"), depends=depends, recommends=[[], [], [1], [], [], [], []])
    A, rows = graph.dependency_graph(packages, max_degree=3)
    assert rows.tolist() == [1, 2, 3]
    assert A.toarray().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
