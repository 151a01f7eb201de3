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


def test_no_iteration_gives_the_vote_shares_and_one_is_one_round(case):
    """One round: matrices from the vote shares, then the posterior that these matrices give; nothing more."""
    votes, classes, _ = case
    counts = crowd.vote_counts(votes, classes)
    shares = counts / counts.sum(1, keepdims=True)
    none = crowd.dawid_skene(votes, classes, iterations=0)
    np.testing.assert_allclose(none.posterior, shares)
    np.testing.assert_allclose(none.prior, shares.mean(0))
    assert none.loglik == []
    posterior = np.tile(np.log(none.prior), (len(votes), 1))
    for i, w in zip(*np.nonzero(votes >= 0)):
        posterior[i] += np.log(none.confusion[w, :, votes[i, w]])
    posterior = np.exp(posterior - posterior.max(1, keepdims=True))
    one = crowd.dawid_skene(votes, classes, iterations=1)
    np.testing.assert_allclose(one.posterior, posterior / posterior.sum(1, keepdims=True), atol=1e-9)
    assert len(one.loglik) == 1
    early = crowd.dawid_skene(votes, classes, tolerance=np.inf)  # at the earliest after two
    np.testing.assert_allclose(early.posterior, crowd.dawid_skene(votes, classes, 2, tolerance=None).posterior)


@pytest.mark.parametrize("one_coin", [False, True])
def test_no_answers_no_workers_one_item_one_worker_and_a_silent_worker(one_coin):
    for votes in (np.full((4, 3), crowd.MISSING), np.zeros((4, 0), int)):
        found = crowd.dawid_skene(votes, 3, one_coin=one_coin)
        np.testing.assert_allclose(found.posterior, np.full((4, 3), 1 / 3))
        np.testing.assert_allclose(found.confusion, np.full((votes.shape[1], 3, 3), 1 / 3), atol=1e-12)
        assert (crowd.majority_vote(votes, 3) == 0).all() and not crowd.vote_counts(votes, 3).any()
    one = crowd.dawid_skene(np.array([[1]]), 3, one_coin=one_coin)
    np.testing.assert_allclose(one.posterior, [[0, 1, 0]], atol=1e-6)
    agreed = crowd.dawid_skene(np.array([[1, 1, -1], [0, 0, -1], [-1, -1, -1]]), 2, one_coin=one_coin)
    assert agreed.posterior[:2].argmax(1).tolist() == [1, 0] and agreed.posterior[:2].max(1).min() > 0.9
    np.testing.assert_allclose(agreed.confusion[2], np.full((2, 2), 0.5))
    shares = crowd.dawid_skene(np.array([[1, 1, -1], [0, 0, -1], [-1, -1, -1]]), 2, 0, one_coin=one_coin)
    np.testing.assert_allclose(shares.posterior, [[0, 1], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(shares.prior, [0.5, 0.5])
    for found in (one, agreed):
        np.testing.assert_allclose(found.confusion.sum(2), 1)
        for part in (found.posterior, found.prior, found.confusion, np.array(found.loglik)):
            assert np.isfinite(part).all()
        np.testing.assert_allclose(found.posterior.sum(1), 1)


@pytest.mark.parametrize("one_coin", [False, True])
def test_two_choices_and_a_perfect_tie(one_coin):
    tie = crowd.dawid_skene(np.array([[0, 1], [0, 1]]), 2, one_coin=one_coin, iterations=20)
    np.testing.assert_allclose(tie.posterior.sum(1), 1)
    np.testing.assert_allclose(tie.posterior[0], tie.posterior[1])
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    votes = crowd.one_coin_votes(y, np.array([0.9, 0.8, 0.7, 0.6]), 2, rng)
    found = crowd.dawid_skene(votes, 2, one_coin=one_coin)
    assert (found.posterior.argmax(1) == y).mean() > 0.85
    np.testing.assert_allclose(found.confusion[:, [0, 1], [0, 1]].mean(1), [0.9, 0.8, 0.7, 0.6], atol=0.1)


def test_small_types_of_integers_do_not_overflow():
    votes = np.array([[4, 4, -1]] * 100, np.int8)
    counts = crowd.vote_counts(votes, 5)
    assert counts[:, 4].tolist() == [2] * 100 and counts.sum() == 200
    for kind in (np.uint8, np.uint64):
        unsigned = np.array([[4, 0]] * 100, kind)
        np.testing.assert_array_equal(crowd.vote_counts(unsigned, 5), crowd.vote_counts(unsigned.astype(int), 5))
        mine, theirs = (crowd.dawid_skene(v, 5).posterior for v in (unsigned, unsigned.astype(int)))
        np.testing.assert_allclose(mine, theirs)


def test_simulators_without_items_or_workers():
    rng = np.random.default_rng(0)
    assert crowd.one_coin_votes(np.zeros(0, int), np.array([0.5]), 3, rng).shape == (0, 1)
    assert crowd.one_coin_votes(np.zeros(4, int), np.zeros(0), 3, rng).shape == (4, 0)
    assert crowd.top_two_votes([0], [1], [1.0], [1.0], 2, rng).tolist() == [[0]]
    assert crowd.top_two_votes([0], [1], [0.0], [1.0], 2, rng).tolist() == [[1]]
    assert (crowd.one_coin_votes(np.arange(50) % 2, np.zeros(1), 2, rng)[:, 0] == 1 - np.arange(50) % 2).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r: crowd.dawid_skene(np.zeros((0, 3), int), 3), "needs an item"),
        (lambda r: crowd.dawid_skene(np.zeros((2, 3), int), 1), "two classes"),
        (lambda r: crowd.dawid_skene(np.zeros((2, 3), int), 2, iterations=-1), "iterations from 0"),
        (lambda r: crowd.dawid_skene(np.zeros((2, 3), int), 2, floor=0), "floor"),
        (lambda r: crowd.dawid_skene(np.full((2, 3), 2), 2), "Votes must lie"),
        (lambda r: crowd.dawid_skene(np.full((2, 3), np.nan), 2), "whole numbers"),
        (lambda r: crowd.majority_vote(np.full((2, 3), 2), 2), "Votes must lie"),
        (lambda r: crowd.vote_counts(np.zeros(3, int), 2), "items, workers"),
        (lambda r: crowd.vote_counts(np.full((2, 3), -1), 0), "one class or more"),
        (lambda r: crowd.one_coin_votes([0], [0.5], 1, r), "two classes"),
        (lambda r: crowd.one_coin_votes([-1], [0.5], 3, r), "in 0..2"),
        (lambda r: crowd.one_coin_votes([0.0], [0.5], 3, r), "whole number"),
        (lambda r: crowd.one_coin_votes([0], [np.nan], 3, r), "sum to one"),
        (lambda r: crowd.one_coin_votes([0], [0.5], 3, r, rate=np.nan), "rate from 0 to 1"),
        (lambda r: crowd.one_coin_votes([0], [0.5], 3, r, rate=1.1), "rate from 0 to 1"),
        (lambda r: crowd.confusion_votes([3], np.full((1, 3, 3), 1 / 3), r), "in 0..2"),
        (lambda r: crowd.confusion_votes([0], np.full((3, 3), 1 / 3), r), "workers, K, K"),
        (lambda r: crowd.top_two_probs([0], [-1], [0.5], [0.5], 3), "in 0..2"),
        (lambda r: crowd.top_two_probs([0], [1], [1.5], [0.5], 3), "q and p"),
        (lambda r: crowd.top_two_probs([0], [1], [0.5], [np.nan], 3), "q and p"),
    ],
)
def test_crowds_that_make_no_sense_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call(np.random.default_rng(0))


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
