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


def test_columns_of_a_graph_of_one_direction_sum_to_one():
    A = sp.csr_matrix(np.array([[0, 2.0, 0, 0], [0, 1, 0, 3], [1, 1, 0, 0], [0, 0, 0, 0]]))
    got = graph.normalise(A, "column").toarray()
    assert got.sum(0).tolist() == [1, 1, 0, 1]  # nobody points to node 2
    assert np.allclose(got, [[0, 0.5, 0, 0], [0, 0.25, 0, 1], [1, 0.25, 0, 0], [0, 0, 0, 0]])
    for how in ("symmetric", "gcn"):
        with pytest.raises(ValueError, match="is for symmetric graphs"):
            graph.normalise(A, how)


@pytest.mark.parametrize("how", ["symmetric", "column", "gcn"])
def test_loops_weights_and_one_type_of_numbers(how):
    A = sp.csr_matrix(np.array([[2, 3, 0], [3, 0, 0], [0, 0, 0]], np.int64))
    dense = A.toarray() + (np.eye(3) if how == "gcn" else 0)
    d = dense.sum(1)
    d[d == 0] = 1
    want = dense / d if how == "column" else dense / np.sqrt(np.outer(d, d))
    assert np.allclose(graph.normalise(A, how).toarray(), want)
    assert A.dtype == np.int64 and A.toarray().tolist() == [[2, 3, 0], [3, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("how", ["symmetric", "column", "gcn"])
def test_a_graph_without_edges_or_without_nodes(how):
    empty = graph.normalise(sp.csr_matrix((3, 3)), how).toarray()
    assert np.array_equal(empty, np.eye(3) if how == "gcn" else np.zeros((3, 3)))
    assert graph.normalise(sp.csr_matrix((0, 0)), how).shape == (0, 0)
    assert graph.largest_part(sp.csr_matrix((0, 0))).tolist() == []
    assert graph.largest_part(sp.csr_matrix((3, 3))).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: graph.normalise(random_graph(), "row"), "Unknown normalisation 'row'"),
        (lambda: graph.normalise(sp.csr_matrix((2, 3))), "square"),
        (lambda: graph.normalise(sp.csr_matrix([[0, -1.0], [-1, 0]])), "from 0"),
        (lambda: graph.normalise(sp.csr_matrix([[0, np.nan], [np.nan, 0]])), "finite"),
        (lambda: graph.normalise(sp.csr_matrix([[0, np.inf], [np.inf, 0]])), "finite"),
        (lambda: graph.to_torch([]), "one graph or more"),
        (lambda: graph.to_torch([sp.identity(2), sp.identity(3)]), "of one size"),
        (lambda: graph.spread(graph.to_torch([sp.identity(2)]), torch.zeros(1, 3, 1)), "2 nodes"),
        (lambda: graph.propagate(None, None, 1, 1.5), "keep from 0 to 1"),
        (lambda: graph.propagate(None, None, 1, float("nan")), "keep from 0 to 1"),
        (lambda: graph.propagate(None, None, -1, 0.5), "steps from 0"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_propagation_that_keeps_all_takes_no_step_or_meets_an_isolated_node():
    A = graph.to_torch([graph.normalise(random_graph(), "column")])
    y = torch.rand(1, 12, 3)
    assert torch.equal(graph.propagate(A, y, 0, 0.3), y) and torch.equal(graph.propagate(A, y, 5, 1), y)
    assert torch.allclose(graph.propagate(A, y, 2, 0.5)[0, 4], y[0, 4] / 4)  # node 4 has no edge: nothing comes back


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


def test_a_dependency_graph_of_nothing_is_empty():
    for depends, degree in (([], 3), ([[], []], 3), ([[1], [0]], 0)):
        packages = SimpleNamespace(name=list("ab")[: len(depends)], depends=depends, recommends=[[] for _ in depends])
        A, rows = graph.dependency_graph(packages, degree)
        assert A.nnz == 0 and A.shape == (len(rows), len(rows)) and len(rows) <= 1
