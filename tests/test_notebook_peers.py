"""What notebooks define, against well-kept libraries that do the same."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from tests.conftest import definitions


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
    start = np.zeros(n)
    peer = minimize(
        lambda x: (x @ L @ x / 2 + (T - s) @ x, L @ x + T - s),
        start,
        jac=True,
        bounds=[(0, None)] * n,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )
    x, m = definitions("local_graph_clustering").push(graph, T, source, [mass / 2, mass], tol=1e-10, sweeps=100_000)
    assert np.allclose(x[-1], peer.x, atol=1e-6) and (x[-1] > 0).sum() < n
    assert np.isclose(m.sum(), mass) and (m <= 1 + 1e-9).all()


def test_f1_is_scikit_learns():
    rng = np.random.default_rng(2)
    found, K = rng.random((4, 60)) < 0.3, rng.random(60) < 0.4
    ours = definitions("local_graph_clustering").f1(found, K)
    assert np.allclose(ours, [100 * f1_score(K, row) for row in found])


def test_conductance_is_networkxs(graph):
    inside = np.arange(40) < 15
    peer = nx.conductance(nx.from_scipy_sparse_array(graph), range(15), weight="weight")
    assert np.isclose(definitions("local_graph_clustering").conductance(graph, inside), peer)
