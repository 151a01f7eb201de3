"""Confident learning against cleanlab, its edges, the scoring, the released data, and the path of `full`."""

import io
import json
import warnings

import cleanlab.count
import cleanlab.filter
import numpy as np
import pytest

from shared import data
from shared.data import label_errors
from tests.conftest import definitions
from tests.test_full_data import error_files

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


def peer(y, probs, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes with one example
        return cleanlab.filter.find_label_issues(y, probs, filter_by=RULES[rule], n_jobs=1)


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
    ours = ns.find_errors(y, probs, rule)
    assert np.array_equal(ours, peer(y, probs, rule))
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


# -- edges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["noise rate", "class", "both"])
@pytest.mark.parametrize("seed", range(12))
def test_a_class_with_one_example_is_never_emptied(ns, seed, rule):
    """Seven rows, three classes, the last of them given once; cleanlab's pruning keeps that row too."""
    rng = np.random.default_rng(seed)
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    probs = rng.dirichlet(np.ones(3), 7)
    probs[6] = [0.7, 0.2, 0.1]  # the model is sure that it is a 0
    flags = ns.find_errors(y, probs, rule)
    assert not flags[6] and not peer(y, probs, rule)[6]
    q = ns.calibrate(ns.confident_joint(y, probs), y)
    assert (q.diagonal() >= 1).all() and q.sum(1).tolist() == [3, 3, 1]
    for k in range(3):
        assert not flags[y == k].all()


def test_seven_rows_without_an_error_are_counted_as_none(ns):
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    probs = np.array([[0.8, 0.1, 0.1]] * 3 + [[0.1, 0.8, 0.1]] * 3 + [[0.5, 0.1, 0.4]])
    assert ns.count_errors(ns.calibrate(ns.confident_joint(y, probs), y)) == 0
    assert not ns.find_errors(y, probs).any() and not peer(y, probs, "noise rate").any()


@pytest.mark.parametrize("rule", RULES)
def test_ties_between_two_classes_do_not_flag(ns, rule):
    y = np.array([0, 1, 0, 1, 2, 2])
    probs = np.array([[0.5, 0.5, 0]] * 4 + [[0, 0.5, 0.5]] * 2)
    assert not ns.find_errors(y, probs, rule).any()
    assert not peer(y, probs, rule).any()
    assert ns.count_errors(ns.calibrate(ns.confident_joint(y, probs), y)) == 0
    constant = np.full((6, 3), 1 / 3)
    assert not ns.find_errors(y, constant, rule).any()
    assert ns.count_errors(ns.calibrate(ns.confident_joint(y, constant), y)) == 0


def test_all_or_no_labels_wrong_one_class_one_row(ns):
    y, sure = np.arange(30) % 3, np.eye(3)[np.arange(30) % 3] * 0.97 + 0.01
    assert not ns.find_errors(y, sure).any()
    # Every label wrong in one way: the thresholds are low, and each class keeps one example.
    flags = ns.find_errors((y + 1) % 3, sure)
    assert flags.sum() == 27 and [flags[(y + 1) % 3 == k].sum() for k in range(3)] == [9, 9, 9]
    for rule in RULES:
        assert not ns.find_errors(np.zeros(4, int), np.ones((4, 1)), rule).any()
        assert not ns.find_errors([1], [[0.9, 0.1]], "noise rate").any()


@pytest.mark.parametrize(
    ("y", "probs"),
    [
        ([], np.zeros((0, 2))),
        ([0, 1], [[0.5, 0.5]]),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]]),
        ([[0], [1]], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]]),
        ([0, 1], [[np.inf, 0.5], [0.5, 0.5]]),
        ([0, 1], [[-0.1, 1.1], [0.5, 0.5]]),
    ],
)
def test_what_is_no_label_or_probability_is_one_sentence(ns, y, probs):
    with pytest.raises(ValueError, match=r"^(Give labels|Labels must)"):
        ns.find_errors(y, probs)


def test_an_unknown_rule_is_named(ns):
    with pytest.raises(ValueError, match="Unknown rule 'rate'"):
        ns.find_errors([0, 1], [[0.9, 0.1], [0.1, 0.9]], "rate")


# -- scoring -----------------------------------------------------------------------------------------------------


def test_mixture_equals_removing_benign_examples(ns):
    """A(N) is the expected accuracy when benign examples are removed at random."""
    rng = np.random.default_rng(0)
    benign, errors = rng.random(360) < 0.7, rng.random(40) < 0.4
    whole = np.concatenate([benign, errors])
    assert np.isclose(ns.at_prevalence(benign.mean(), errors.mean(), 0.1), whole.mean())
    assert np.allclose(ns.per_image(benign, errors, 0.1), whole)
    accuracy = [np.concatenate([rng.permutation(benign)[:120], errors]).mean() for _ in range(4000)]
    assert abs(np.mean(accuracy) - ns.at_prevalence(benign.mean(), errors.mean(), 0.25)) < 0.003
    assert np.isclose(ns.per_image(benign, errors, 0.25).mean(), ns.at_prevalence(benign.mean(), errors.mean(), 0.25))


def test_the_crossing_is_where_two_mixtures_meet(ns):
    n = ns.crossing(0.8 - 0.7, 0.6 - 0.3)
    assert np.isclose(ns.at_prevalence(0.7, 0.6, n), ns.at_prevalence(0.8, 0.3, n)) and np.isclose(n, 0.25)
    assert ns.crossing(0.0, 0.3) == 0
    for b, c in ((0.1, -0.3), (-0.1, 0.3), (0.0, 0.0), (0.1, -0.1), (-0.2, -0.1)):
        assert np.isnan(ns.crossing(b, c)) or b / (b + c) <= 1


def test_an_error_is_what_fewer_than_three_of_five_call_by_its_label(ns):
    votes = np.array([[5, 0], [3, 2], [2, 3], [2, 1], [0, 5], [3, 3]])
    error, fixable = ns.judged(votes)
    assert error.tolist() == [False, False, True, True, True, False]
    assert fixable.tolist() == [False, False, True, False, True, False]


# -- what the authors released -----------------------------------------------------------------------------------


def test_released_networks_score_what_the_authors_table_says(ns):
    """Rows of imagenet_benchmarks/consensus3.csv and cifar10_benchmarks/consensus3.csv (corrected, given accuracy on C)."""
    d = data.load("label_errors_models")
    table = {"pytorch resnet18": (82.28, 6.48), "pytorch resnet50": (73.74, 13.52), "keras nasnetlarge": (66.26, 19.79),
             "keras resnet50": (66.69, 14.88), "pytorch alexnet": (58.72, 11.25)}  # fmt: skip
    _, _, given, corrected = ns.score_networks(d.imagenet, d.votes["imagenet"])
    assert given.shape == corrected.shape == (34, 1428)
    for name, (right, wrong) in table.items():
        m = d.imagenet.models.index(name)
        assert abs(100 * corrected[m].mean() - right) < 0.3 and abs(100 * given[m].mean() - wrong) < 0.3
    _, _, given, corrected = ns.score_networks(d.cifar10, d.votes["cifar10"])
    assert corrected.shape == (13, 18)
    for name, right in {"vgg11_bn": 12 / 18, "vgg19_bn": 7 / 18, "googlenet": 7 / 18}.items():
        assert np.isclose(corrected[d.cifar10.models.index(f"pytorch {name}")].mean(), right)


def test_released_votes_are_as_many_as_the_paper_counts(ns):
    d = data.load("label_errors_models")
    errors = {name: int(ns.judged(votes)[0].sum()) for name, votes in d.votes.items()}
    assert errors["imagenet"] == 2916 and errors["mnist"] == 15 and errors["cifar10"] == 54
    assert d.audioset_changed.sum() == 275 and len(errors) == 9 and d.sizes["imagenet"] == 50_000


def files_of(classes, n):
    """Labels, probabilities and votes as files; every 21st label is wrong, and the model knows."""
    truth = np.arange(n) % classes
    labels = np.where(np.arange(n) % 21 == 3, (truth + 1) % classes, truth).astype(np.uint16)
    probs = np.full((n, classes), 0.1 / (classes - 1))
    probs[np.arange(n), truth] = 0.9
    votes = {"given": 0, "guessed": 5, "neither": 0, "both": 0}
    wrong = np.flatnonzero(labels != truth)
    people = [{"id": int(i), "our_guessed_label": int(truth[i]), "mturk": votes} for i in wrong]
    files = {"mturk.json": json.dumps(people).encode()}
    for name, array in {"test_set_original_labels": labels, "test_set_pyx": probs}.items():
        np.save(buffer := io.BytesIO(), array)
        files[f"{name}.npy"] = buffer.getvalue()
    return files


def test_full_counts_the_released_sets_again(ns, mirror):
    sets = {name: files_of(classes, 420) for name, classes in label_errors.SETS.items()}
    mirror("label_errors", {f"{name}_{file}": text for name, files in sets.items() for file, text in files.items()})
    d = data.load("label_errors", scale="full")
    for part in (d.cifar10, d.news):
        kept = part.probs.copy()
        assert ns.recount(part) == (20, 20)  # the ideal case: all that are wrong, and no other
        assert np.array_equal(part.probs, kept)


def test_own_data_takes_words_and_refuses_what_it_cannot_read(ns):
    from sklearn.naive_bayes import GaussianNB

    rng = np.random.default_rng(0)
    x = np.repeat([[0.0], [9.0]], 30, 0) + rng.normal(size=(60, 1))
    y = np.repeat(["cat", "dog"], 30)
    y[3] = "dog"
    rows, suggested = ns.to_read_again(x.tolist(), y.tolist(), GaussianNB)
    assert rows.tolist() == [3] and suggested.tolist() == ["cat"]
    for bad, labels, why in (
        (x, y[:9], "one label a row"),
        (x, y[-30:], "one label a row"),
        (x, ["cat"] * 60, "two classes"),
        (x * np.nan, y, "missing or infinite"),
    ):
        with pytest.raises(ValueError, match=why):
            ns.to_read_again(bad, labels, GaussianNB)


FULL = {}  # the settings of `smoke` do for a test of the path of `full`


def sent_labels():
    """Votes on six labels of each released test set."""
    votes = [{"given": g, "guessed": 5 - g, "neither": 0, "both": 0} for g in (0, 1, 2, 3, 4, 5)]
    people = [{"id": i, "given_original_label": 1, "our_guessed_label": 2, "mturk": v} for i, v in enumerate(votes)]
    return {f"{name}_mturk.json": json.dumps(people).encode() for name in ("cifar10", "20news")}


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"label_errors": error_files() | sent_labels()}
