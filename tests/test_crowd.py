"""Simulated crowds against closed forms, aggregation against crowd-kit and against loops."""

import crowdkit.aggregation as peer
import numpy as np
import pandas as pd
import pytest

from shared import crowd


def long_form(votes):
    items, workers = np.nonzero(votes >= 0)
    return pd.DataFrame({"task": items, "worker": workers, "label": votes[items, workers]})


@pytest.fixture(params=[(40, 7, 3, 0.6), (120, 15, 5, 0.4), (60, 9, 2, 1.0)], ids=str)
def case(request):
    items, workers, classes, rate = request.param
    rng = np.random.default_rng(items)
    y = rng.integers(classes, size=items)
    confusion = rng.dirichlet(np.ones(classes), (workers, classes)) + 2 * np.eye(classes)
    votes = crowd.confusion_votes(y, confusion / 3, rng, rate)
    votes[:, 0] = np.where(votes[:, 0] < 0, 0, votes[:, 0])  # crowd-kit drops items without votes
    assert set(np.unique(votes[votes >= 0])) == set(range(classes))
    return votes, classes, y


def test_majority_vote_equals_crowd_kit(case):
    votes, classes, _ = case
    theirs = peer.MajorityVote().fit(long_form(votes))
    counts = crowd.vote_counts(votes, classes)
    shares = theirs.probas_.sort_index()[range(classes)].to_numpy()
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), shares)
    tied = (counts == counts.max(1, keepdims=True)).sum(1) > 1  # there crowd-kit's answer depends on the rows' order
    labels = crowd.majority_vote(votes, classes)
    assert (~tied).mean() > 0.4
    np.testing.assert_array_equal(labels[~tied], theirs.labels_.sort_index().to_numpy()[~tied])


@pytest.mark.parametrize("one_coin", [False, True])
@pytest.mark.parametrize("iterations", [1, 3, 60])
def test_dawid_skene_equals_crowd_kit_after_as_many_iterations(case, one_coin, iterations):
    votes, classes, _ = case
    their_class = peer.OneCoinDawidSkene if one_coin else peer.DawidSkene
    # a tolerance that never stops: crowd-kit's stopping rule counts the prior once per vote, ours once per item
    theirs = their_class(n_iter=iterations, tol=-np.inf).fit(long_form(votes))
    ours = crowd.dawid_skene(votes, classes, iterations, tolerance=None, one_coin=one_coin)
    np.testing.assert_allclose(ours.posterior, theirs.probas_.sort_index()[range(classes)].to_numpy(), atol=1e-6)
    np.testing.assert_allclose(ours.prior, theirs.priors_[range(classes)].to_numpy(), atol=1e-6)
    for (worker, label), row in theirs.errors_.iterrows():
        np.testing.assert_allclose(ours.confusion[worker, :, label], row[range(classes)].to_numpy(), atol=1e-6)


def test_dawid_skene_equals_loops():
    rng = np.random.default_rng(1)
    votes = rng.integers(-1, 3, size=(9, 4))
    votes[0] = crowd.MISSING
    posterior = np.full((9, 3), 1 / 3)
    for i in range(1, 9):
        seen = votes[i][votes[i] >= 0]
        posterior[i] = [np.mean(seen == c) for c in range(3)] if len(seen) else posterior[i]
    for _ in range(4):
        prior, confusion = posterior.mean(0), np.zeros((4, 3, 3))
        for w in range(4):
            for a in range(3):
                for b in range(3):
                    confusion[w, a, b] = max(sum(posterior[i, a] for i in range(9) if votes[i, w] == b), 1e-10)
                confusion[w, a] /= confusion[w, a].sum()
        posterior = np.tile(prior, (9, 1))
        for i in range(9):
            for w in range(4):
                if votes[i, w] >= 0:
                    posterior[i] *= confusion[w, :, votes[i, w]]
            posterior[i] /= posterior[i].sum()
    ours = crowd.dawid_skene(votes, 3, iterations=4, tolerance=None)
    np.testing.assert_allclose(ours.posterior, posterior, atol=1e-9)
    np.testing.assert_allclose(ours.posterior[0], prior)  # an item without votes gets the prior


def test_the_likelihood_never_falls_and_the_tolerance_stops(case):
    votes, classes, _ = case
    rise = np.diff(crowd.dawid_skene(votes, classes, tolerance=None).loglik)
    assert (rise > -1e-9).all()
    early = crowd.dawid_skene(votes, classes, tolerance=1e-3).loglik
    assert len(early) < 100 and early[-1] - early[-2] < 1e-3 <= np.diff(early)[:-1].min(initial=np.inf)


def test_dawid_skene_finds_workers_who_are_wrong_on_purpose():
    """Three good workers and two who answer the next class: the matrices show it."""
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=400)
    good, liar = 0.7 * np.eye(3) + 0.1, 0.8 * np.roll(np.eye(3), 1, axis=1) + 0.2 / 3
    confusion = np.stack([good, good, good, liar, liar])
    votes = crowd.confusion_votes(y, confusion, rng)
    found = crowd.dawid_skene(votes, 3)
    assert np.abs(found.confusion - confusion).max() < 0.12
    assert (found.posterior.argmax(1) == y).mean() > (crowd.majority_vote(votes, 3, rng) == y).mean() + 0.1


def test_ties_are_broken_at_random_only_with_a_generator():
    votes = np.tile([[0, 2, crowd.MISSING]], (4000, 1))
    assert (crowd.majority_vote(votes, 3) == 0).all()
    drawn = np.bincount(crowd.majority_vote(votes, 3, np.random.default_rng(0)), minlength=3)
    assert drawn[1] == 0 and abs(drawn[0] - 2000) < 5 * 4000**0.5 / 2
    empty = np.full((3000, 2), crowd.MISSING)
    drawn = np.bincount(crowd.majority_vote(empty, 3, np.random.default_rng(0)), minlength=3)
    assert np.abs(drawn - 1000).max() < 130


def frequencies(votes, classes):
    return np.stack([(votes == c).mean(0) for c in range(classes)], axis=-1)  # (workers, classes)


def test_simulators_draw_what_they_say():
    n, classes = 40_000, 4
    rng = np.random.default_rng(3)
    four = 5 * 0.5 / n**0.5  # five standard deviations at most
    accuracy = np.array([0.25, 0.7, 1.0])
    votes = crowd.one_coin_votes(np.full(n, 2), accuracy, classes, rng)
    want = np.tile((1 - accuracy)[:, None] / 3, (1, 4))
    want[:, 2] = accuracy
    np.testing.assert_allclose(frequencies(votes, classes), want, atol=four)

    confusion = rng.dirichlet(np.ones(classes), (5, classes))
    votes = crowd.confusion_votes(np.full(n, 1), confusion, rng, rate=0.5)
    np.testing.assert_allclose(frequencies(votes, classes), 0.5 * confusion[:, 1], atol=four)
    assert abs((votes == crowd.MISSING).mean() - 0.5) < four

    g, h, q, p = np.full(n, 3), np.full(n, 0), np.full(n, 0.8), np.array([0.0, 0.5, 1.0])
    votes = crowd.top_two_votes(g, h, q, p, classes, rng)
    want = (1 - p[:, None]) / 4 + p[:, None] * np.array([0.2, 0, 0, 0.8])
    np.testing.assert_allclose(frequencies(votes, classes), want, atol=four)
    np.testing.assert_allclose(crowd.top_two_probs(g, h, q, p, classes)[7], want, atol=1e-12)


def test_workers_of_one_item_are_independent_and_rates_zero_and_one_are_exact():
    rng = np.random.default_rng(4)
    votes = crowd.one_coin_votes(np.zeros(30_000, int), np.array([0.6, 0.6]), 3, rng)
    right = votes == 0
    assert abs(np.corrcoef(right.T)[0, 1]) < 5 / 30_000**0.5
    assert (votes >= 0).all()
    assert (crowd.one_coin_votes(np.zeros(9, int), np.ones(2), 3, rng, rate=0) == crowd.MISSING).all()


def test_the_same_generator_state_gives_the_same_votes():
    draws = [crowd.one_coin_votes(np.arange(9) % 3, np.full(4, 0.5), 3, np.random.default_rng(5), 0.7) for _ in "ab"]
    np.testing.assert_array_equal(*draws)


@pytest.mark.parametrize("votes", [[[0, 3]], [[-2, 0]], [[0.5, 1.0]]])
def test_votes_out_of_range_are_refused(votes):
    with pytest.raises(ValueError, match="[Vv]otes"):
        crowd.vote_counts(np.array(votes), 3)


def test_bad_models_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="differ"):
        crowd.top_two_probs(np.array([1]), np.array([1]), np.array([0.7]), np.array([0.5]), 3)
    with pytest.raises(ValueError, match="sum to one"):
        crowd.draw_votes(np.full((2, 2, 2), 0.4), rng)
    with pytest.raises(ValueError, match="sum to one"):
        crowd.one_coin_votes(np.zeros(3, int), np.array([1.5]), 3, rng)
