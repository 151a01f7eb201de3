"""The two stages of the top-two estimator against plain loops."""

from itertools import permutations

import numpy as np
import pytest

from shared import crowd
from tests.conftest import definitions

K = 4


@pytest.fixture(scope="module")
def book():
    return definitions("top_two")


@pytest.fixture(params=[0, 1])
def case(request):
    rng = np.random.default_rng(request.param)
    g, h = rng.permuted(np.tile(np.arange(K), (40, 1)), axis=1)[:, :2].T
    q, p = rng.uniform(0.55, 0.95, 40), rng.uniform(0.2, 0.95, 15)
    return g, h, q, p, crowd.top_two_votes(g, h, q, p, K, rng, rate=0.7)


def test_spectral_scores_equal_an_svd_written_out(book, case):
    votes = case[-1]
    answers = votes.T + 1  # workers in rows, 0 is missing, choices from 1: the paper's layout
    s, us, tables = (answers > 0).mean(), [], []
    for k in range(1, K):
        a = np.zeros(answers.shape)
        for (i, j), y in np.ndenumerate(answers):
            a[i, j] = (0 if y == 0 else -1 if y <= k else 1) - s * (K - 2 * k) / K
        u = np.linalg.svd(a)[0][:, 0]
        us.append(u * (1 if u.sum() > 0 else -1))
        tables.append(a)
    u = np.clip(np.mean(us, axis=0), 0, 1)
    w = [np.zeros(40), *(a.T @ u / (2 * s) for a in tables), np.zeros(40)]
    want = np.stack([w[k] - w[k - 1] for k in range(1, K + 1)], axis=1)
    np.testing.assert_allclose(book.spectral_scores(votes, K), want, atol=1e-8)


def test_the_most_likely_pair_equals_the_full_likelihood(book, case):
    _, _, q, p, votes = case
    g, h = book.likelihood_pair(votes, K, p, q, np.random.default_rng(0))
    for j in range(len(votes)):
        seen = np.flatnonzero(votes[j] >= 0)
        value = {}
        for a, b in permutations(range(K), 2):
            probs = crowd.top_two_probs([a], [b], q[[j]], p, K)[0]
            value[a, b] = np.log(probs[seen, votes[j, seen]]).sum()
        assert value[g[j], h[j]] == pytest.approx(max(value.values()), abs=1e-6)


def test_reliability_inverts_the_model(book):
    rng = np.random.default_rng(3)
    g, h = np.zeros(20_000, int), np.full(20_000, 2)
    p = np.array([0.0, 0.4, 0.9])
    votes = crowd.top_two_votes(g, h, np.full(20_000, 0.7), p, K, rng)
    np.testing.assert_allclose(book.reliability(votes, g, h, K), p, atol=0.03)


def test_the_bound_lies_above_the_oracles_error(book):
    rng = np.random.default_rng(4)
    p, n = np.full(9, 0.95), 4000
    g, h = rng.permuted(np.tile(np.arange(K), (n, 1)), axis=1)[:, :2].T
    votes = crowd.top_two_votes(g, h, np.full(n, 0.8), p, K, rng)
    pair = book.likelihood_pair(votes, K, p, np.full(n, 0.8), rng)
    bound = book.union_bound(p, 0.8, K, 1.0)
    assert 0 < (book.errors(pair, g, h)[2] / 100) < bound <= 1
    # one wrong worker cannot separate pairs: with none observed the bound says nothing
    assert book.union_bound(p, 0.8, K, 0.0) == 1.0
    assert book.union_bound(np.tile(p, 20), 0.8, K, 1.0) < bound**2
