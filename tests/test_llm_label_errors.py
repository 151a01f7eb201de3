"""Measures and estimators of the notebook on zero-shot judges, against scikit-learn, statsmodels, SciPy and cleanlab."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as peer_kappa

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


def test_fleiss_kappa_equals_statsmodels(rng):
    votes = (rng.random((80, 7)) < rng.random((80, 1))).astype(int)
    assert ns.fleiss_kappa(votes) == pytest.approx(peer_kappa(aggregate_raters(votes)[0]))


def test_ridge_equals_scikit_learns(rng):
    x, y = rng.normal(size=(90, 12)) + 3, rng.integers(0, 2, 90)
    peer = Ridge(alpha=2.5).fit(x, 2 * y - 1)
    np.testing.assert_allclose(ns.ridge(x, y, 2.5)(x[:9]), peer.predict(x[:9]), atol=1e-10)


def test_the_interval_is_clopper_and_pearsons_and_shrinks_with_the_population():
    exact = stats.binomtest(27, 160).proportion_ci(0.95, method="exact")
    assert ns.error_share_interval(27, 160, 10**12) == pytest.approx((exact.low, exact.high), abs=1e-6)
    low, high = ns.error_share_interval(27, 160, 640)
    assert exact.low < low < 27 / 160 < high < exact.high
    assert ns.error_share_interval(27, 160, 160) == (27 / 160, 27 / 160)
    assert ns.error_share_interval(0, 50, 200)[0] == 0 and ns.error_share_interval(50, 50, 200)[1] == 1


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
