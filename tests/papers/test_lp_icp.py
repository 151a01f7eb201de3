"""The conformal part of LP-ICP against all p-values, the norm itself, and the formula of the authors' package."""

import numpy as np
import pytest
import torch

from shared import stack
from tests.conftest import definitions

lp = definitions("lp_icp")
KINDS = {"euclidean": (lp.euclidean, 2 / 1024), "log_odds": (lp.log_odds, 1 / 64)}


@pytest.fixture(autouse=True)
def grid(monkeypatch):
    """The notebook's only constant that its functions read."""
    for function in (lp.rounded, lp.log_odds):
        monkeypatch.setitem(function.__globals__, "GRID", 1024)


def drawn(seed, n=60, d=7):
    rng = np.random.default_rng(seed)
    o = np.round(rng.beta(0.4, 1.0, (n, d)) * 1024) / 1024
    return o, rng.random((n, d)) < o


def bits(d):
    return (np.arange(2**d)[:, None] >> np.arange(d)) & 1


def naive_p_values(calibration, scores):
    """As the paper's formula reads, one candidate at a time."""
    return np.array([(sum(a >= s for a in calibration) + 1) / (len(calibration) + 1) for s in scores])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("eps", [0.02, 0.1, 0.25, 0.5])
def test_both_searches_and_the_counts_agree_with_all_p_values(name, eps):
    """49 calibration documents: eps (q + 1) is whole for every level here, the case that rounding spoils."""
    kind, unit = KINDS[name]
    o, y = drawn(1)
    a = lp.score(o[:49], y[:49], kind)
    least, cost = kind(o)
    sizes = set()
    for i in range(49, 60):
        p = naive_p_values(a, lp.score(o[i], bits(7), kind))
        inside = [tuple(row) for row in bits(7)[p > eps + 1e-12]]
        budget = lp.threshold(a, eps) - least[i]
        for search in (lp.at_most_k_flips, lp.depth_first):
            found, examined = search(cost[i], budget)
            members = []
            for flips in found:
                row = 1 * (o[i] >= 0.5)
                row[list(flips)] ^= 1
                members.append(tuple(row))
            assert sorted(members) == sorted(inside)
            assert examined >= len(found)
        assert examined <= max(1, 2 * len(inside))
        whole = np.rint(cost[i] / unit).astype(np.int64)
        assert lp.count_sets(whole, np.floor(budget / unit)) == len(inside)
        sizes.add(len(inside))
    assert len(sizes) > 1, "a test that sees one size only tests little"


def test_p_values_follow_the_formula_of_the_authors_package():
    """Scores sorted from large to small, the number not below the candidate, one added to both sides; ties count."""
    rng = np.random.default_rng(2)
    calibration = rng.integers(0, 20, 99) / 4
    candidates = rng.integers(-2, 24, (5, 8)) / 4
    falling = torch.sort(torch.tensor(calibration), descending=True).values
    reached = torch.searchsorted(-falling, -torch.tensor(candidates), right=True)
    assert np.array_equal(lp.p_values(calibration, candidates), (reached.numpy() + 1) / 100)
    assert np.array_equal(lp.p_values(calibration, candidates[0]), naive_p_values(calibration, candidates[0]))


def test_exchangeable_scores_have_uniform_p_values():
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(20_000, 20))
    p = np.array([lp.p_values(row[1:], row[0]) for row in draws])
    shares = np.array([(p <= k / 20 + 1e-12).mean() for k in range(1, 21)])
    assert np.abs(shares - np.arange(1, 21) / 20).max() < 0.012


@pytest.mark.parametrize("q", [1, 19, 20, 99, 200])
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.05, 0.1, 0.5, 1.0])
def test_the_threshold_keeps_what_the_p_value_keeps(q, eps):
    scores = np.random.default_rng(q).integers(0, 30, q) / 8
    candidates = np.arange(-8, 260) / 8
    inside = lp.p_values(scores, candidates) > eps + 1e-12
    assert np.array_equal(inside, candidates <= lp.threshold(scores, eps))


def test_a_flip_costs_what_the_norm_says():
    """The squared distance and the log of the probability ratio, each against its definition, exact to rounding."""
    o, _ = drawn(4, n=6, d=5)
    for o_one in o:
        norm = np.linalg.norm(bits(5) - o_one, axis=1) ** 2
        assert np.allclose(lp.score(o_one, bits(5)), norm, atol=1e-12)
        p = np.clip(o_one, 1 / 1024, 1 - 1 / 1024)
        log_p = (bits(5) * np.log(p) + (1 - bits(5)) * np.log(1 - p)).sum(1)
        assert np.allclose(lp.score(o_one, bits(5), lp.log_odds), log_p.max() - log_p, atol=5 / 128)


def test_edges_of_threshold_and_searches():
    scores = np.arange(9.0)
    assert lp.threshold(scores, 0.0) == np.inf and lp.threshold(scores, 1.0) == -np.inf
    assert lp.threshold([], 0.1) == np.inf, "nothing calibrated: everything stays possible"
    assert lp.threshold([np.inf, 1.0], 0.5) == np.inf
    for wrong in ((scores, 1.2), (scores, -0.1), ([np.nan, 1.0], 0.1)):
        with pytest.raises(ValueError, match="level from 0 to 1"):
            lp.threshold(*wrong)
    cost = np.array([0.25, 0.25, 1.0])
    for search in (lp.at_most_k_flips, lp.depth_first):
        assert search(cost, -0.5) == ([], 1), "even the forced prediction is too strange"
        assert search(cost, 0.0)[0] == [()]
        assert len(search(cost, np.inf)[0]) == 8, "too few calibrated: all label-sets"
        assert len(search(cost, 0.25)[0]) == 3, "ties: both cheap tags, each alone"
        assert search(np.zeros(0), 1.0)[0] == [()], "no tag"
        assert len(search(np.zeros(4), 0.0)[0]) == 16, "outputs of one half: flips are free"
    whole = np.array([1, 1, 4])
    assert lp.count_sets(whole, np.array([-1, 0, 1, np.inf, -np.inf])).tolist() == [0, 1, 3, 8, 0]
    assert lp.count_sets(np.zeros(0, np.int64), np.array([0.0])).tolist() == [1]
    assert lp.count_sets(np.ones(100, np.int64), np.array([1e9]))[0] == pytest.approx(2.0**100)
    assert lp.rounded(torch.tensor([200.0, -200.0, 0.0])).tolist() == [1.0, 0.0, 0.5]
    assert np.isfinite(lp.log_odds(np.array([[0.0, 1.0]]))[1]).all()


def test_k_is_the_largest_number_of_flips_that_fit():
    for seed in range(20):
        cost = np.random.default_rng(seed).integers(0, 512, 6) / 512
        for budget in (-0.1, 0.0, 0.3, 1.0, 9.0):
            sizes = [len(f) for f in lp.depth_first(cost, budget)[0]]
            assert lp.most_flips(cost, budget) == max(sizes, default=0)
    many = np.stack([cost, cost])
    assert lp.most_flips(many, np.array([0.0, 9.0])).tolist() == [lp.most_flips(cost, 0.0), 6]


def test_the_training_step_is_that_of_networks_alone():
    """Gradients side by side against torch's mean loss, each network by itself, and a plain step of descent."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 12, 5, generator=g), (torch.rand(2, 12, 3, generator=g) < 0.3).float()
    net = stack.perceptrons([5, 4, 3], [0, 1])
    alone = [net.alone(k) for k in range(2)]
    lp.training_step(net, torch.optim.SGD(net.parameters(), 0.5), x, y)
    for k, one in enumerate(alone):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(one(x[k]), y[k])
        loss.backward()
        with torch.no_grad():
            for p in one.parameters():
                p -= 0.5 * p.grad
        for ours, theirs in zip(net.alone(k).parameters(), one.parameters()):
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_one_predictor_per_tag_multiplies_the_tags_sets(monkeypatch):
    """Against all label-sets: a label-set is in the product where each of its tags is in the set of its tag."""
    o, y = drawn(5, n=40, d=4)
    monkeypatch.setitem(lp.per_tag.__globals__, "cfg", type("cfg", (), {"counted": 40}))
    cal, new = np.arange(30), np.arange(30, 40)
    wrong, median = lp.per_tag(o, y, [(cal, new)], 0.2)
    kept, missed = [], []
    for i in new:
        p = [
            [naive_p_values(np.abs(y[cal, j] - o[cal, j]), [abs(v - o[i, j])])[0] > 0.2 for v in (0, 1)]
            for j in range(4)
        ]
        inside = [all(p[j][row[j]] for j in range(4)) for row in bits(4)]
        kept.append(sum(inside))
        missed.append(not all(p[j][int(y[i, j])] for j in range(4)))
    assert median == pytest.approx(max(np.median(kept), 1)) and wrong == pytest.approx(100 * np.mean(missed))


def test_micro_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    o, y = drawn(6)
    assert lp.micro_f1(o, y) == pytest.approx(100 * f1_score(y, o >= 0.5, average="micro"))
    assert lp.micro_f1(np.stack([o, o]), np.stack([y, y])).shape == (2,)


def test_own_data_lists_the_sets_or_says_that_they_are_too_many(monkeypatch):
    o, y = drawn(7, n=120, d=6)
    sets = lp.prediction_sets(o[:99], y[:99], o[99:], confidence=0.9)
    assert len(sets) == 21 and all(np.array_equal(s[0], o_one >= 0.5) for s, o_one in zip(sets, o[99:]))
    tau = lp.threshold(lp.score(o[:99], y[:99], lp.log_odds), 0.1)
    for o_one, members in zip(o[99:], sets):
        strange = lp.score(o_one, members, lp.log_odds)
        assert (strange <= tau).all() and (np.diff(strange) >= 0).all()
        assert len(members) == (lp.score(o_one, bits(6), lp.log_odds) <= tau).sum()
    assert lp.prediction_sets(o[:99], y[:99], o[99:100], most=0) == [None]
    everything = lp.prediction_sets(o[:3], y[:3], o[99:100], confidence=0.9)  # three cannot promise 90 %
    assert len(everything[0]) == 64


def test_own_data_takes_lists_and_refuses_bad_arrays():
    o, y = drawn(8, n=60, d=4)
    o_cal, y_cal, o_new = o[:50], 1.0 * y[:50], o[50:]
    sets = lp.prediction_sets(o_cal, y_cal, o_new)
    lists = lp.prediction_sets(o_cal.tolist(), y[:50].tolist(), o_new.tolist())
    assert all(np.array_equal(a, b) for a, b in zip(sets, lists, strict=True))
    assert len(lp.prediction_sets(o_cal, 0 * y_cal, o_new)) == 10, "no tag is ever true"
    assert lp.prediction_sets(o_cal, y_cal, o_new[:0]) == []
    gap, infinite = y_cal.copy(), o_new.copy()
    gap[3, 1], infinite[0, 0] = np.nan, np.inf
    for arrays, match in (
        ((o_cal, gap, o_new), "0 or 1"),
        ((o_cal, 2 * y_cal, o_new), "0 or 1"),
        ((o_cal * np.nan, y_cal, o_new), "finite"),
        ((o_cal, y_cal, infinite), "finite"),
        ((o_cal, y_cal, 3 - 6 * o_new), "from 0 to 1"),
        ((o_cal, y_cal[:49], o_new), "one shape"),
        ((o_cal, y_cal.T, o_new), "one shape"),
        ((o_cal, y_cal, o_new[:, :3]), "one shape"),
        ((o_cal, y_cal[:, 0], o_new), "one shape"),
        ((o_cal, y_cal, o_new[0]), "rows"),
        ((o_cal[0], y_cal[0], o_new), "rows"),
        ((o_cal[:0], y_cal[:0], o_new), "rows"),
    ):
        with pytest.raises(ValueError, match=match):
            lp.prediction_sets(*arrays)
    with pytest.raises(ValueError, match="level from 0 to 1"):
        lp.prediction_sets(o_cal, y_cal, o_new, confidence=90)
