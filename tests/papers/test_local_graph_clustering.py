"""What the notebook defines, against kept libraries, a naive version and closed forms."""

import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from tests.conftest import definitions
from tests.test_full_data import planetoid

SLUG = "local_graph_clustering"


@pytest.fixture(scope="module")
def graph():
    """A random weighted graph of 40 nodes, connected."""
    rng = np.random.default_rng(1)
    upper = np.triu((rng.random((40, 40)) < 0.15) * rng.uniform(0.2, 1, (40, 40)), 1)
    upper[np.arange(39), np.arange(1, 40)] = 1.0
    return sp.csr_matrix(upper + upper.T)


def test_push_solves_the_quadratic_program(graph):
    """Flow diffusion is min x'Lx/2 + (T - s)'x over x >= 0; scipy's bounded minimiser finds the same x."""
    n, source, mass = graph.shape[0], 5, 12.0
    T, s = np.ones(n), np.zeros(n)
    s[source] = mass
    L = np.diag(np.asarray(graph.sum(1)).ravel()) - graph.toarray()
    peer = minimize(
        lambda x: (x @ L @ x / 2 + (T - s) @ x, L @ x + T - s),
        np.zeros(n),
        jac=True,
        bounds=[(0, None)] * n,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )
    x, m = definitions(SLUG).push(graph, T, source, [mass / 2, mass], tol=1e-10, sweeps=100_000)
    assert np.allclose(x[-1], peer.x, atol=1e-6) and (x[-1] > 0).sum() < n
    assert np.isclose(m.sum(), mass) and (m <= 1 + 1e-9).all()


def test_push_is_the_naive_push_of_one_node_at_a_time(graph):
    """Coordinate descent in random order, as the authors' earlier code does it, ends at the same potentials."""
    rng, W, n = np.random.default_rng(3), graph.toarray(), graph.shape[0]
    T, x, m = rng.uniform(0.5, 2, n), np.zeros(n), np.zeros(n)
    m[7] = 15.0
    while (over := np.flatnonzero(m > T + 1e-10)).size:
        i = rng.choice(over)
        delta = (m[i] - T[i]) / W[i].sum()
        x[i], m[i] = x[i] + delta, T[i]
        m += delta * W[i]
    ours, settled = definitions(SLUG).push(graph, T, 7, [15.0], tol=1e-11, sweeps=100_000)
    assert np.allclose(ours[0], x, atol=1e-6) and np.allclose(settled, m, atol=1e-6)


def test_one_sweep_conserves_mass(graph):
    d, T = np.asarray(graph.sum(1)).ravel(), np.ones(40)
    x, m = np.zeros(40), np.zeros(40)
    m[[3, 4]] = 5.0
    definitions(SLUG).sweep(graph, d, T, x, m, np.array([3, 4]))
    assert np.isclose(m.sum(), 10) and np.allclose(x[[3, 4]] * d[[3, 4]], 4) and (x > 0).sum() == 2


def test_edges_of_push(graph):
    push, T = definitions(SLUG).push, np.ones(40)
    x, m = push(graph, T, 0, [0.0, 1.0])
    assert not x.any() and m.sum() == 1  # what a node can hold stays
    alone, m = push(sp.csr_matrix((1, 1)), np.ones(1), 0, [0.5])
    assert not alone.any() and m[0] == 0.5
    for masses in ([np.nan], [np.inf], [-1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="Source masses"):
            push(graph, T, 0, masses)
    for bad in (T * 0, T * np.nan, T[:-1]):
        with pytest.raises(ValueError, match="capacity above 0"):
            push(graph, bad, 0, [1.0])


def test_weights():
    A = sp.csr_matrix(np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], float))
    y = np.array([True, True, False])
    weigh = definitions(SLUG).weigh
    assert np.array_equal(weigh(A, y, 0.1).toarray(), [[0, 1, 0.1], [1, 0, 0], [0.1, 0, 0]])
    assert (weigh(A, y, 1.0) != A).nnz == 0 and np.array_equal(weigh(A, ~y, 0.1).toarray(), weigh(A, y, 0.1).toarray())
    for labels, eps in ((y[:2], 0.1), (y.astype(float), 0.1), (y, -0.1), (y, np.nan)):
        with pytest.raises(ValueError, match="one true or false a node"):
            weigh(A, labels, eps)


def test_f1_is_scikit_learns():
    rng = np.random.default_rng(2)
    found, K = rng.random((4, 60)) < 0.3, rng.random(60) < 0.4
    f1 = definitions(SLUG).f1
    assert np.allclose(f1(found, K), [100 * f1_score(K, row) for row in found])
    assert f1(K, K) == 100 and f1(~K, K) == 0 and f1(K & False, K) == 0


def test_conductance_is_networkxs(graph):
    inside, conductance = np.arange(40) < 15, definitions(SLUG).conductance
    peer = nx.conductance(nx.from_scipy_sparse_array(graph), range(15), weight="weight")
    assert np.isclose(conductance(graph, inside), peer)
    nothing = inside & False
    assert conductance(graph, nothing) == conductance(graph, ~nothing) == 1  # never the best choice


def test_noise_at_both_ends():
    K, draw = np.arange(50) < 20, definitions(SLUG).noisy_labels
    rng = np.random.default_rng(0)
    assert np.array_equal(draw(rng, K, 1, 1), K) and np.array_equal(draw(rng, K, 0, 0), ~K)
    assert draw(rng, K, 0, 1, seed_node=3).sum() == 1


def test_logistic_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(50, 8)), rng.random(50) < 0.5
    wide = np.c_[x, np.ones(50)]  # the intercept is penalised as well
    peer = LogisticRegression(C=10.0, fit_intercept=False, tol=1e-10, max_iter=1000).fit(wide, y)
    ours = definitions(SLUG).logistic(x, y)(x)
    assert np.allclose(ours, peer.predict_proba(wide)[:, 1], atol=1e-4)


def test_own_data_reads_dense_graphs_and_lists():
    """A dense matrix, nested lists, and stored zeros are the same graph as its csr."""
    around, two = definitions(SLUG).cluster_around, np.kron(np.eye(2), 1 - np.eye(5))
    two[4, 5] = two[5, 4] = 1.0
    looks = np.array([1, 1, 0, 1, 1, 0, 1, 0, 0, 0])
    stored = sp.csr_matrix(np.ones((10, 10)))
    stored.data = two.ravel().copy()
    kept = stored.copy()
    for A in (sp.csr_matrix(two), two, two.tolist(), two.astype(int), stored, sp.coo_matrix(two)):
        for y in (looks == 1, looks, looks.tolist()):
            assert np.flatnonzero(around(A, y, 0, size=5)).tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(stored.data, kept.data), "the caller's matrix stays as it was"


def test_own_data_refuses_what_it_cannot_read():
    around, two = definitions(SLUG).cluster_around, np.kron(np.eye(2), 1 - np.eye(5))
    y = np.arange(10) < 5
    for bad in (np.triu(two), two[:9], two * 2, two * np.nan, two + np.eye(10), np.zeros((0, 0)), two.tolist()[:3]):
        with pytest.raises(ValueError, match="symmetric matrix of 0 and 1"):
            around(bad, y, 0, 5)
    for bad in (y[:9], y * 2, np.where(y, 1, np.nan), y.astype(str), np.where(y, "1", "0"), []):
        with pytest.raises(ValueError, match="one label 0 or 1 a node"):
            around(two, bad, 0, 5)
    for seed_node, size in ((10, 5), (-1, 5), (0.5, 5), (0, 0), (0, np.nan), (0, 11)):
        with pytest.raises(ValueError, match="seed node from 0 to 9 and a size from 1 to 10"):
            around(two, y, seed_node, size)


FULL = {}


def full_files(rng):
    """Tiny files of the true format of what `full` downloads, edges mostly within a class: set -> {file: content}."""
    files = planetoid("cora", False, rng)
    order = [int(line) for line in files["ind.cora.test.index"].split()]
    y = np.zeros(len(pickle.loads(files["ind.cora.ally"])) + len(order), int)
    y[: -len(order)] = pickle.loads(files["ind.cora.ally"]).argmax(1)
    y[order] = pickle.loads(files["ind.cora.ty"]).argmax(1)
    graph = {node: [int(end) for end in rng.choice(np.flatnonzero(y == y[node]), 3)] for node in range(len(y))}
    graph = {node: [*ends, int(rng.integers(len(y)))] for node, ends in graph.items()}
    return {"cora": files | {"ind.cora.graph": pickle.dumps(graph, protocol=2)}}
