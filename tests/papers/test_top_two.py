"""TopTwo's two stages, its rivals and its edges, against the published program's formulas in plain loops."""

from itertools import permutations

import numpy as np
import pytest

from shared import crowd
from tests.conftest import definitions

K = 4


@pytest.fixture(scope="module")
def book():
    return definitions("top_two")


def pairs(m, classes, rng):
    return rng.permuted(np.tile(np.arange(classes), (m, 1)), axis=1)[:, :2].T


@pytest.fixture(params=[0, 1])
def case(request):
    rng = np.random.default_rng(request.param)
    g, h = pairs(40, K, rng)
    q, p = rng.uniform(0.55, 0.95, 40), rng.uniform(0.2, 0.95, 15)
    return g, h, q, p, crowd.top_two_votes(g, h, q, p, K, rng, rate=0.7)


def published(votes):
    """What the program's first stage finds, q at the estimated truth: workers in rows, 0 is missing, choices from 1."""
    y = votes.T + 1
    n, m = y.shape
    s, us, tables = (y > 0).mean(), [], []
    for k in range(1, K):
        a = np.zeros(y.shape)
        for (i, j), v in np.ndenumerate(y):
            a[i, j] = (0 if v == 0 else -1 if v <= k else 1) - s * (K - 2 * k) / K
        u = np.linalg.svd(a)[0][:, 0]
        us.append(u * (1 if u.sum() > 0 else -1))
        tables.append(a)
    u = np.clip(np.mean(us, axis=0), 0, 1)
    w = [np.zeros(m), *(a.T @ u / (2 * s) for a in tables), np.zeros(m)]
    delta = np.stack([w[k] - w[k - 1] for k in range(1, K + 1)], axis=1)
    g, h = np.argsort(delta, axis=1, kind="stable")[:, :2].T
    p = np.zeros(n)
    for i in range(n):
        answered = [j for j in range(m) if y[i, j]]
        share = np.mean([y[i, j] - 1 in (g[j], h[j]) for j in answered])
        p[i] = min(max((share - 2 / K) / (1 - 2 / K), 0.001), 0.999)
    q = np.array([1 / K - delta[j, g[j]] / np.linalg.norm(p) for j in range(m)])
    return delta, g, h, p, np.clip(q, 0.501, 0.999)


@pytest.mark.parametrize("seed", [0, 1])
def test_both_stages_are_the_published_program(book, seed):
    rng = np.random.default_rng(seed)  # enough workers that no two choices tie, which the two break differently
    g, h = pairs(40, K, rng)
    q, p = rng.uniform(0.55, 0.95, 40), rng.uniform(0.2, 0.95, 60)
    votes = crowd.top_two_votes(g, h, q, p, K, rng, rate=0.7)
    delta, g, h, p, q = published(votes)
    assert np.diff(np.sort(delta, axis=1)[:, :3]).min() > 1e-6
    ours = book.toptwo1(votes, K, np.random.default_rng(0))
    np.testing.assert_allclose(ours.delta, delta, atol=1e-8)
    np.testing.assert_allclose(ours.p, p, atol=1e-12)
    np.testing.assert_allclose(ours.q, q, atol=1e-8)
    assert (ours.g == g).all() and (ours.h == h).all()
    # the likelihood of the program's second stage, pair by pair
    second = book.toptwo2(votes, K, np.random.default_rng(0))
    for j in range(len(votes)):
        first, other = np.log(K * q[j] * p / (1 - p) + 1), np.log(K * (1 - q[j]) * p / (1 - p) + 1)
        total = {(a, b): first[votes[j] == a].sum() + other[votes[j] == b].sum() for a, b in permutations(range(K), 2)}
        assert total[second.g[j], second.h[j]] == pytest.approx(max(total.values()), abs=1e-6)


def test_the_most_likely_pair_equals_the_full_likelihood(book, case):
    _, _, q, p, votes = case
    g, h = book.likelihood_step(votes, K, p, q, np.random.default_rng(0))
    for j in range(len(votes)):
        seen = np.flatnonzero(votes[j] >= 0)
        value = {}
        for a, b in permutations(range(K), 2):
            probs = crowd.top_two_probs([a], [b], q[[j]], p, K)[0]
            value[a, b] = np.log(probs[seen, votes[j, seen]]).sum()
        assert value[g[j], h[j]] == pytest.approx(max(value.values()), abs=1e-6)


def test_mv_ds_is_the_published_program(book, case):
    votes = case[-1]
    m, n = votes.shape
    z = (votes[..., None] == np.arange(K)).astype(float)
    q = z.mean(1) / z.mean(1).sum(1, keepdims=True)
    log = np.zeros((m, K))
    for i in range(n):
        mu = z[:, i].T @ q  # (answer, truth)
        hit = np.trace(mu) / mu.sum()  # one coin
        mu = np.eye(K) * (hit - (1 - hit) / (K - 1)) + np.ones((K, K)) * (1 - hit) / (K - 1)
        mu /= mu.sum(0)
        for j in range(m):
            if votes[j, i] >= 0:
                log[j] += np.log(mu[votes[j, i]])
    ours = book.weighted_votes(votes, book.mv_ds_weights(votes, K), K)
    np.testing.assert_allclose(ours - ours[:, :1], log - log[:, :1], atol=1e-8)


def test_pgd_ends_where_the_published_descent_ends(book):
    rng = np.random.default_rng(2)
    g, h = pairs(400, K, rng)
    votes = crowd.top_two_votes(g, h, np.full(400, 0.7), rng.uniform(0.05, 0.9, 20), K, rng, rate=0.6)
    c = np.zeros((20, 20))
    for i, j in permutations(range(20), 2):
        both = (votes[:, i] >= 0) & (votes[:, j] >= 0)
        c[i, j] = K / ((K - 1) * both.sum()) * (votes[both, i] == votes[both, j]).sum() - 1 / (K - 1)
    x = np.full(20, 0.5)
    for _ in range(20_000):
        x = x + 2e-3 * 2 * (np.abs(c) - np.outer(x, x)) @ x
        x = x.clip(-1 / (K - 1) + 400**-0.5, 1 - 400**-0.5)
    hit = x * (K - 1) / K + 1 / K
    np.testing.assert_allclose(book.pgd_weights(votes, K), np.log(hit * (K - 1) / (1 - hit)), atol=1e-6)


def test_em_scores_continue_the_em(book, case):
    votes = case[-1]
    for one_coin in (True, False):
        em = crowd.dawid_skene(votes, K, 3, tolerance=None, one_coin=one_coin, floor=0.1)
        scores = book.em_scores(votes, K, 3, one_coin)
        odds = np.log(em.posterior)
        np.testing.assert_allclose(scores - scores[:, :1], odds - odds[:, :1], atol=1e-8)


def test_reliability_inverts_the_model(book):
    rng = np.random.default_rng(3)
    g, h = np.zeros(20_000, int), np.full(20_000, 2)
    p = np.array([0.0, 0.4, 0.9])
    votes = crowd.top_two_votes(g, h, np.full(20_000, 0.7), p, K, rng)
    np.testing.assert_allclose(book.reliability(votes, g, h, K), p, atol=0.03)


def test_edges(book, case):
    rng = np.random.default_rng(5)
    votes = case[-1].copy()
    for classes, bad in ((2, votes.clip(max=1)), (K, np.full_like(votes, -1))):
        with pytest.raises(ValueError, match="three choices or more, and an answer"):
            book.toptwo2(bad, classes, rng)
    with pytest.raises(ValueError, match="must lie in 0..2"):
        book.toptwo2(votes, 3, rng)
    with pytest.raises(ValueError, match="whole numbers"):
        book.toptwo2(votes.astype(float), K, rng)
    # a task that nobody answered: any pair, each as likely, and the smallest q; a silent worker has no weight
    empty = np.vstack([votes, np.full((400, votes.shape[1]), -1)])
    fit = book.toptwo2(empty, K, rng)
    assert (fit.q[40:] == 0.501).all() and (fit.g != fit.h).all()
    for answers in (fit.g[40:], fit.h[40:], fit.first.g[40:], fit.first.h[40:]):
        assert np.bincount(answers, minlength=K).min() > 60
    silent = np.hstack([votes, np.full((40, 1), -1)])
    assert book.toptwo2(silent, K, rng).p[-1] == 0.001
    assert np.isfinite(book.mv_ds_weights(silent, K)).all() and np.isfinite(book.pgd_weights(silent, K)).all()
    one = book.toptwo2(np.array([[0, 0, 1]]), 3, rng)
    assert (one.g[0], one.h[0]) == (0, 1)
    # everybody agrees: the truth is certain, the other answer a tie
    same = book.toptwo2(np.zeros((300, 5), int), K, rng)
    assert (same.g == 0).all() and np.bincount(same.h, minlength=K)[1:].min() > 60


def test_vote_shares_of_a_task(book):
    np.testing.assert_allclose(
        book.vote_share_q(np.array([[3, 1, 2], [2, 2, 2], [0, 4, 0], [0, 0, 0]])), [0.6, 0.501, 0.999, 0.501]
    )


def test_own_data_refuses_what_it_cannot_read(book):
    votes = np.array([[0, 0, 1], [1, 1, 0], [2, 2, 1]])
    assert book.top_two(votes.tolist(), 3)[0].tolist() == [0, 1, 2]
    no_task, no_worker = votes.copy(), votes.copy()
    no_task[1], no_worker[:, 2] = -1, -1
    for bad, classes, why in (
        (votes, 2, "from 0 to 1"),
        (votes - 2, 3, "from 0 to 2"),
        (votes / 2, 3, "whole numbers"),
        (votes[0], 3, "tasks, workers"),
        (votes * 0, 1, "two classes"),
        (no_task, 3, "without any answer"),
        (no_worker, 3, "without any answer"),
    ):
        with pytest.raises(ValueError, match=why):
            book.top_two(bad, classes)


FULL = {}  # the settings of `smoke` do for a test of the path of `full`


def crowd_files(rng):
    """Four crowds of 12 workers and 40 questions, in the authors' files."""
    files = {}
    for name, start in (("color", 0), ("dog", 1), ("web", 1), ("trec", 1)):
        truth = rng.integers(4, size=40)
        confuser = (truth + rng.integers(1, 4, size=40)) % 4
        lines = []
        for worker in range(12):
            for item in rng.permutation(40)[:30]:
                answer = [truth[item], confuser[item], rng.integers(4)][rng.integers(3)]
                pair = (worker, item) if name == "color" else (item, worker)
                lines.append(" ".join(str(int(v) + start) for v in (*pair, answer)))
        tables = {"": lines, "_truth": [f"{i + start} {a + start}" for i, a in enumerate(truth)]}
        if name == "color":
            tables["_conf"] = [f"{i} {a}" for i, a in enumerate(confuser)]
        for kind, rows in tables.items():
            files[f"{name}{kind}.txt"] = ("\n".join(rows) + "\n").encode()
    return files


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"crowd_sets": crowd_files(rng)}
