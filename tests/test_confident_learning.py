"""Confident learning against cleanlab on the same out-of-sample probabilities."""

import cleanlab.count
import cleanlab.filter
import numpy as np
import pytest

from tests.conftest import definitions

RULES = {  # ours: cleanlab's
    "noise rate": "prune_by_noise_rate",
    "class": "prune_by_class",
    "both": "both",
    "off-diagonal": "confident_learning",
    "disagreement": "predicted_neq_given",
}


@pytest.fixture(scope="module")
def ns():
    return definitions("confident_learning")


def noisy_set(seed, n, classes, sharp, rate):
    """Given labels and probabilities of a model that is right more often than not."""
    rng = np.random.default_rng(seed)
    y_true = rng.choice(classes, size=n, p=rng.dirichlet(np.full(classes, 5.0)))
    y = np.where(rng.random(n) < rate, rng.integers(classes, size=n), y_true)
    y[:classes] = range(classes)  # cleanlab wants every class
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), y_true] += sharp
    probs = np.exp(logits)
    return y, probs / probs.sum(1, keepdims=True)


CASES = [(s, n, k, sharp, rate) for s in range(4) for n, k in ((300, 2), (700, 4), (1000, 10))
         for sharp, rate in ((1.0, 0.3), (2.5, 0.1))]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_confident_joint_and_its_calibration_equal_cleanlab(ns, case):
    y, probs = noisy_set(*case)
    raw = cleanlab.count.compute_confident_joint(y, probs, calibrate=False)
    assert np.array_equal(ns.confident_joint(y, probs), raw)
    calibrated = cleanlab.count.compute_confident_joint(y, probs, calibrate=True)
    ours = ns.calibrate(ns.confident_joint(y, probs), y)
    assert np.array_equal(ours, calibrated)
    assert np.array_equal(ours.sum(1), np.bincount(y, minlength=case[2]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
def test_flags_equal_cleanlab(ns, case, rule):
    y, probs = noisy_set(*case)
    peer = cleanlab.filter.find_label_issues(y, probs, filter_by=RULES[rule], n_jobs=1)
    ours = ns.find_errors(y, probs, rule)
    assert np.array_equal(ours, peer)
    assert 0 < ours.sum() < len(y)


def test_confident_joint_equals_a_naive_loop(ns):
    """As the paper describes it, one example at a time; class 3 is missing."""
    y, probs = noisy_set(9, 200, 4, 1.5, 0.2)
    y[y == 3] = 0
    t = [np.mean([p[k] for p, label in zip(probs, y) if label == k] or [2.0]) for k in range(4)]
    counts = np.zeros((4, 4), int)
    for p, label in zip(probs, y):
        sure = [k for k in range(4) if p[k] >= t[k] - 1e-6]
        if sure:
            counts[label, sure[0] if len(sure) == 1 else int(np.argmax(p))] += 1
    for k in range(4):
        counts[k, k] = max(counts[k, k], 1)
    assert np.array_equal(ns.confident_joint(y, probs), counts)


def test_mixture_equals_removing_benign_examples(ns):
    """A(N) is the expected accuracy when benign examples are removed at random."""
    rng = np.random.default_rng(0)
    wrong = np.arange(400) < 40
    truth, predicted = rng.integers(3, size=(2, 400))
    given = np.where(wrong, (truth + 1) % 3, truth)
    scores = np.array(ns.rescore(predicted, given, truth, wrong))
    assert np.isclose(ns.at_prevalence(scores, 0.1), 100 * (predicted == truth).mean())
    assert np.isclose(ns.at_prevalence(scores, 0.1, corrected=False), 100 * (predicted == given).mean())
    means = []
    for _ in range(3000):
        kept = np.concatenate([np.flatnonzero(wrong), rng.choice(np.flatnonzero(~wrong), 120, replace=False)])
        means.append(100 * (predicted[kept] == truth[kept]).mean())
    assert abs(np.mean(means) - ns.at_prevalence(scores, 0.25)) < 0.3
