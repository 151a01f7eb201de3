"""Measures and estimators of the notebook on zero-shot judges, against scikit-learn, cleanlab and worked examples."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.mixture import GaussianMixture

from tests.conftest import definitions

ns = definitions("llm_label_errors")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_auc_and_f1_equal_scikit_learns(rng):
    y = rng.integers(0, 2, 300)
    for score in (rng.normal(size=300) + y, rng.integers(0, 5, 300) + y):  # the second has ties
        assert ns.auc(y, score) == pytest.approx(100 * roc_auc_score(y, score))
    flagged = rng.random(300) < 0.3
    assert ns.f1(y == 1, flagged) == pytest.approx(100 * f1_score(y, flagged))


def test_ridge_equals_scikit_learns(rng):
    x, y = rng.normal(size=(90, 12)) + 3, rng.integers(0, 2, 90)
    peer = Ridge(alpha=2.5).fit(x, 2 * y - 1)
    np.testing.assert_allclose(ns.ridge(x, y, 2.5)(x[:9]), peer.predict(x[:9]), atol=1e-10)


def test_the_mixture_finds_what_scikit_learn_finds(rng):
    side = rng.integers(0, 2, 4000)
    s = rng.normal(4 * side, 1.0)
    peer = GaussianMixture(2, covariance_type="tied", random_state=0).fit(s[:, None])
    low, high, sigma = ns.two_centres(s)
    np.testing.assert_allclose([low, high], np.sort(peer.means_.ravel()), atol=0.05)
    assert sigma == pytest.approx(float(np.sqrt(peer.covariances_[0, 0])), abs=0.05)
    p = ns.to_probability(s)
    assert np.array_equal(np.argsort(p, kind="stable"), np.argsort(s, kind="stable"))  # order is kept


def test_flags_repairs_and_resolved_labels_by_hand():
    judges = np.array([[0.9, 0.2, 0.6, 0.9], [0.9, 0.4, 0.6, 0.7]])  # means .9, .3, .6, .8
    given, y = np.array([0, 1, 0, 1]), np.array([1, 1, 0, 0])
    assert ns.flags(judges, given, 0.5).tolist() == [True, True, True, False]
    assert ns.flags(judges, given, 0.85).tolist() == [True, False, False, False]
    assert ns.resolved(judges, given, y).tolist() == [1, 1, 0, 1]  # the last error is shared, so nobody finds it
    flagged, answer = ns.flags(judges, given, 0.65), ns.ensemble(judges)[0]
    x = np.arange(4)
    assert ns.repaired(x, given, flagged, answer, "flip")[1].tolist() == [1, 0, 0, 1]
    assert [part.tolist() for part in ns.repaired(x, given, flagged, answer, "filter")] == [[2, 3], [0, 1]]


def test_confident_learning_flags_what_cleanlab_flags(rng):
    from cleanlab.filter import find_label_issues

    y = rng.integers(0, 2, 400)
    p = np.clip(0.5 + 0.25 * (2 * y - 1) + 0.2 * rng.normal(size=400), 0.01, 0.99)
    y_noisy = np.where(rng.random(400) < 0.2, 1 - y, y)
    peer = find_label_issues(y_noisy, np.stack([1 - p, p], 1), filter_by="confident_learning")
    mine = ns.confident_learning(p, y_noisy)
    assert mine.sum() > 20
    # cleanlab gives an example that clears both thresholds to the likelier class; the notebook leaves it alone.
    assert not (mine & ~peer).any() and (peer & ~mine).sum() <= 0.1 * peer.sum()


def test_word_judges_know_the_seed_words():
    texts = ["an excellent film"] * 3 + ["a terrible film"] * 3 + ["excellent charming", "terrible mess"]
    texts += ["charming", "mess"]
    vectors = np.eye(2)[[0, 0, 0, 1, 1, 1, 0, 1, 0, 1]]
    scores = ns_with_seed_words().word_judges(texts, vectors, np.array([8, 9]))
    assert scores.shape == (2, 2) and (scores[:, 0] > scores[:, 1]).all()


def ns_with_seed_words():
    other = definitions("llm_label_errors")
    other.word_judges.__globals__["SEED_WORDS"] = [(("excellent",), ("terrible",))]
    other.word_judges.__globals__["words"] = __import__("re").compile(r"[a-z0-9]{2,}")
    return other


def test_one_outlier_does_not_become_a_class(rng):
    s = rng.normal(3.0 * rng.integers(0, 2, 500), 1.0)
    plain, spoiled = ns.to_probability(s), ns.to_probability(np.append(s, 1e6))
    assert np.abs(plain - spoiled[:-1]).max() < 0.05 and spoiled[-1] > 0.99
    assert np.abs(plain - ns.to_probability(np.append(s, -1e6))[:-1]).max() < 0.05


@pytest.mark.parametrize("s", [np.zeros(5), np.array([3.0]), np.full(4, -2.5)])
def test_scores_that_say_nothing_give_one_half(s):
    np.testing.assert_allclose(ns.to_probability(s), 0.5)


def test_tied_scores_keep_their_order_and_the_unusual_ones_their_side(rng):
    s = np.array([0.0] * 45 + [1.0] * 5)  # no spread between the quartiles
    p = ns.to_probability(s)
    assert len(set(p[:45])) == 1 and p[0] < 0.5 < p[-1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_must_be_numbers(bad):
    with pytest.raises(ValueError, match="finite"):
        ns.to_probability(np.array([0.0, bad, 1.0]))


def test_a_curve_needs_both_classes():
    with pytest.raises(ValueError, match="both classes"):
        ns.auc(np.ones(4, int), np.arange(4))


def test_f1_where_nothing_is_wrong_or_flagged():
    none, some = np.zeros(4, bool), np.array([True, False, False, False])
    assert ns.f1(none, none) == ns.f1(some, none) == ns.f1(none, some) == 0 and ns.f1(some, some) == 100


def test_hasty_annotators_accept_pairs_of_one_section_only(rng):
    y, together = np.repeat([1, 0], 50), np.tile([True, False], 50)
    noisy = ns.hasty(y, together, 0.2, rng)
    changed = noisy != y
    assert changed.sum() == 20 and (y[changed] == 0).all() and together[changed].all() and (noisy[changed] == 1).all()
    assert (ns.hasty(y, together, 0.0, rng) == y).all()
    assert (ns.hasty(y, together, 1.0, rng) != y).sum() == 25, "no more than there are such pairs"
    assert (ns.hasty(y, np.zeros(100, bool), 0.5, rng) == y).all()


def test_own_data_refuses_what_it_cannot_read(rng):
    scores, y = rng.normal(size=(3, 40)), rng.integers(0, 2, 40)
    flagged, answer, sure = ns.confident_disagreements(scores, y)
    assert flagged.shape == answer.shape == sure.shape == (40,) and not (flagged & (answer == y)).any()
    assert (sure[flagged] >= 0.75).all()
    with pytest.raises(ValueError, match=r"scores \(judges, n\)"):
        ns.confident_disagreements(scores[:, :9], y)
    with pytest.raises(ValueError, match="labels 0 or 1"):
        ns.confident_disagreements(scores, y + 1)
    plain = ns.confident_disagreements(scores, y)
    for same_scores, same_y in ((scores.tolist(), y.tolist()), (scores, y == 1), (scores, y.astype(float))):
        assert all(map(np.array_equal, ns.confident_disagreements(same_scores, same_y), plain))
    one = ns.confident_disagreements(scores, np.ones(40))
    assert np.array_equal(one[1], plain[1]), "labels of one class are no hindrance: judges do not read them"
    for bad_y in (y.astype(str), np.where(y, 1, np.nan), np.where(y, "good", "bad")):
        with pytest.raises(ValueError, match="labels 0 or 1"):
            ns.confident_disagreements(scores, bad_y)
    for bad_scores, bad_y in ((np.zeros((3, 0)), y[:0]), (scores[None], y), (scores, y[:, None]), ([], [])):
        with pytest.raises(ValueError, match=r"scores \(judges, n\)"):
            ns.confident_disagreements(bad_scores, bad_y)
    with pytest.raises(ValueError, match="finite"):
        ns.confident_disagreements(np.where(scores > 1, np.nan, scores), y)
    for tau in (np.nan, 75, 0.2):
        with pytest.raises(ValueError, match="threshold from 0.5 to 1"):
            ns.confident_disagreements(scores, y, tau)
