"""RSCP+ against its formulas, a naive version of each part, and the worst attack there is."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri

from tests.conftest import definitions
from tests.test_full_data import cifar_files

rp = definitions("rscp_plus")


def drawn(n=40, classes=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=g).double().softmax(-1), torch.rand(n, generator=g).double()


def test_scores_follow_the_formulas_of_torchcp():
    """THR is one minus the softmax; APS is the sorted cumulative sum, less a random share of the label's own."""
    probs, u = drawn()
    assert torch.equal(rp.hps(probs), 1 - probs)
    ours = rp.aps(probs, u)
    for i in range(len(probs)):
        for y in range(probs.shape[1]):
            mass = sum(float(p) for p in probs[i] if p >= probs[i, y])
            assert float(ours[i, y]) == pytest.approx(mass - float(u[i] * probs[i, y]), abs=1e-12)


def test_scores_at_their_edges():
    one = torch.ones(3, 1)
    assert rp.hps(one).abs().max() == 0
    assert torch.allclose(rp.aps(one, torch.tensor([0.0, 0.25, 1.0])), torch.tensor([[1.0], [0.75], [0.0]]))
    even = torch.full((1, 4), 0.25)
    tied = rp.aps(even, torch.zeros(1))[0]
    assert torch.allclose(tied, torch.tensor([0.25, 0.5, 0.75, 1.0])), "equal labels are ranked in their order"
    many = rp.aps(torch.randn(500, 10).softmax(-1), torch.zeros(500))
    assert many.min() >= 0 and many.max() <= 1, "rounding never leaves 0..1"


def test_bounds_follow_their_formulas_and_hold_in_simulation():
    assert rp.hoeffding(256) == pytest.approx(0.11615, abs=1e-4)
    n, beta = 64, 0.05
    assert rp.hoeffding(n, beta) == pytest.approx((np.log(20) / 128) ** 0.5)
    v = 0.09
    naive = (2 * v * np.log(40) / 64) ** 0.5 + 7 * np.log(40) / (3 * 63)
    assert rp.bernstein(v, n, beta) == pytest.approx(naive)
    rng = np.random.default_rng(0)
    for a, b in ((0.3, 0.3), (5, 1), (0.5, 8)):
        x = rng.beta(a, b, (20_000, n))
        over = x.mean(1) - a / (a + b)
        assert (over > rp.hoeffding(n, beta)).mean() <= beta
        assert (over > rp.bernstein(x.var(1, ddof=1), n, beta)).mean() <= beta
    x = rng.random((20_000, n)) < 0.5  # the hardest case: the bound is not wasteful either
    assert (x.mean(1) - 0.5 > 0.6 * rp.hoeffding(n, beta)).mean() > beta / 2


def test_the_threshold_is_an_order_statistic():
    scores = np.array([3.0, 1.0, 2.0, 2.0, 5.0, 4.0, 7.0, 6.0, 8.0])  # nine, with a tie
    for level, expected in ((0.1, 1), (0.2, 2), (0.3, 2), (0.35, 3), (0.9, 8), (0.91, np.inf), (1.5, np.inf)):
        assert rp.threshold(scores, level) == expected, level
    assert rp.threshold(np.zeros(0), 0.9) == np.inf, "nothing calibrated: every label stays"
    for wrong in ((np.array([1.0, np.nan]), 0.9), (scores, 0.0)):
        with pytest.raises(ValueError, match="NaN"):
            rp.threshold(*wrong)


def test_coverage_of_exchangeable_scores_is_what_the_rank_says():
    rng = np.random.default_rng(1)
    draws = rng.random((20_000, 20))
    share = np.mean([row[0] <= rp.threshold(row[1:], 0.9) for row in draws])
    assert share == pytest.approx(18 / 20, abs=0.01)


def test_full_and_empty_sets():
    s = np.linspace(0, 1, 11)[None]
    assert rp.in_set(s, np.inf, 0.5, 0.1, 0.1).all(), "an infinite threshold"
    assert rp.in_set(s, 0.95, 0.5, 0.1, 0.1).all(), "inf <= inf counts as in"
    assert not rp.in_set(s[:, 1:], 0.0, 0.0).any()
    assert rp.in_set(s, 0.0, 0.0)[0, 0], "-inf <= -inf counts as in"
    assert rp.in_set(s, 0.5, 0.0).sum() == 6, "ties are in"
    with pytest.raises(ValueError, match="NaN"):
        rp.in_set(s * np.nan, 0.5, 0.0)


@pytest.mark.parametrize("copies, line", [(64, 0.36), (256, 0.64), (1024, 0.8)])
def test_the_line_from_which_all_labels_enter(copies, line):
    b = rp.hoeffding(copies)
    for tau in np.linspace(0.02, 0.98, 97):
        full = rp.in_set(np.ones((1, 1)), tau, 0.5, b, b).all()
        assert full == (ndtr(ndtri(min(tau + b, 1)) + 0.5) + b >= 1)
        if abs(tau - line) > 0.02:
            assert full == (tau > line), tau


def test_the_probit_of_a_smoothed_score_is_lipschitz():
    """Any score between 0 and 1, smoothed exactly by quadrature; a step attains the slope."""
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    rng, sigma = np.random.default_rng(2), 0.7
    at = np.linspace(-1, 1, 21)
    for _ in range(20):
        a, c, w = rng.normal(size=3)
        score = lambda x, a=a, c=c, w=w: 0.5 + 0.45 * np.sin(3 * a * x + c) * np.cos(w * x)  # noqa: E731
        smooth = score(at[:, None] + sigma * points) @ weights
        slope = np.abs(np.diff(ndtri(smooth)) / np.diff(at))
        assert slope.max() <= 1 / sigma + 1e-6
    step = ndtr(at / sigma)  # of 1 where x > 0
    assert np.allclose(np.diff(ndtri(step)) / np.diff(at), 1 / sigma)


def test_the_guarantee_survives_the_worst_attack_and_each_part_is_needed():
    """A score whose smoothed value is known: one where the noisy first pixel exceeds zero. The attack is the worst."""
    rng, copies, shift = np.random.default_rng(3), 64, 0.5
    b = rp.hoeffding(copies)

    def coverage(s, b_test, b_cal, allowed, level):
        found = []
        for _ in range(60):
            clean = rng.binomial(copies, s(500)) / copies
            moved = rng.binomial(copies, ndtr(ndtri(s(500)) + shift)) / copies
            found.append(rp.in_set(moved[:, None], rp.threshold(clean, level), allowed, b_test, b_cal).mean())
        return np.mean(found)

    for s in (lambda n: np.full(n, 0.7), lambda n: rng.beta(2, 2, n), lambda n: rng.beta(0.5, 0.5, n)):
        assert coverage(s, b, b, shift, 0.902) >= 0.9
    assert coverage(lambda n: rng.beta(2, 2, n), 0, 0, 0, 0.9) < 0.85, "no correction for the attack: broken"
    assert coverage(lambda n: np.full(n, 0.9), 0, 0, shift, 0.9) < 0.88, "none for the estimate: RSCP is broken"
    plain, plus = rp.built_case(np.random.default_rng(4), 256)
    assert plain < 88 and plus >= 90


def test_ptt_is_rank_then_sigmoid():
    r = torch.tensor([[0.4, 0.1, 0.3, 0.2], [0.9, 0.8, 0.7, 0.6]])
    s = torch.tensor([[[0.0, 0.1], [0.25, 1.0]], [[0.0, 0.65], [0.8, 1.0]]])
    ranked = rp.rank(s, r)
    naive = [[[float((r[k] <= v).float().mean()) for v in row] for row in s[k]] for k in range(2)]
    assert torch.allclose(ranked, torch.tensor(naive)), "ties count, and each seed has its own hold-out"
    assert ranked.min() == 0 and ranked.max() == 1
    values = torch.linspace(-0.2, 1.2, 200)[None]
    moved = rp.ptt(values, torch.rand(1, 50), T=1 / 50)
    assert (moved.diff() >= 0).all() and moved.min() >= 0 and moved.max() <= 1
    expected = 1 / (1 + np.exp(-(0.75 - 0.9) * 20))
    assert float(rp.ptt(torch.tensor([[0.35]]), r[:1], T=1 / 20)) == pytest.approx(expected, rel=1e-5)


def naive_rct(probs, y, shift, alpha=0.1, T=0.1):
    """One network, label by label."""
    half = len(y) // 2
    c = torch.special.ndtri(torch.minimum(probs + 1e-7, torch.tensor(1 - 1e-7, dtype=probs.dtype)))
    calm = sorted((c[i, y[i]] for i in range(half)), key=lambda v: v.item())
    tau = calm[max(int(alpha * (1 + 1 / half) * half) - 1, 0)] - shift
    missed, excess = 0, 0
    for i in range(half, len(y)):
        m = [1 / (1 + torch.exp(-(c[i, k] - tau) / T)) for k in range(probs.shape[1])]
        missed = missed + 1 - m[y[i]]
        excess = excess + torch.clamp(sum(m) - 1, min=0)
    return torch.log((missed + excess) / (len(y) - half) + 1e-8)


def test_rct_loss_and_gradient_against_a_naive_version():
    g = torch.Generator().manual_seed(5)
    z = (2 * torch.randn(2, 44, 5, generator=g)).double()
    y = torch.randint(5, (2, 44), generator=g)
    ours = z.clone().requires_grad_()
    value = rp.rct_loss(ours.softmax(-1), y, 0.5)
    value.sum().backward()
    for k in range(2):
        one = z[k].clone().requires_grad_()
        naive = naive_rct(one.softmax(-1), y[k], 0.5)
        naive.backward()
        assert float(value[k]) == pytest.approx(float(naive), abs=1e-9)
        assert torch.allclose(ours.grad[k], one.grad, atol=1e-9) and one.grad.abs().max() > 1e-4
    sure = torch.nn.functional.one_hot(y, 5).float()
    assert torch.isfinite(rp.rct_loss(sure, y, 0.5)).all(), "probabilities of 0 and 1"


def test_the_attack_stays_in_its_ball_and_finds_the_worst_point_of_a_linear_network():
    g = torch.Generator().manual_seed(6)
    w = torch.randn(2, 7, 3, generator=g)
    x, y = torch.randn(2, 9, 7, generator=g), torch.randint(2, (2, 9), generator=g)
    w[..., 2] = w[..., 1]  # two classes in effect, so the worst direction is known
    noise = torch.zeros(2, 9, 1, 7)
    moved = rp.attack(lambda v: torch.bmm(v, w), x, y.clamp(max=0), noise, 0.3)
    delta = moved - x
    assert delta.flatten(2).norm(dim=2).max() <= 0.3 + 1e-5
    worst = w[..., 1] - w[..., 0]
    worst = 0.3 * worst / worst.norm(dim=1, keepdim=True)
    assert torch.allclose(delta, worst[:, None].expand_as(delta), atol=1e-4)


def predict(x):
    return torch.tensor(np.stack([-x.sum(1), x.sum(1)], 1)).softmax(-1).numpy()


def own(n=300, m=5, **change):
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, 2 * n)
    x = rng.normal(size=(2 * n, 3)) + np.where(y, 1, -1)[:, None]
    given = dict(
        x_hold=x[:n], y_hold=y[:n], x_cal=x[n:], y_cal=y[n:], x_new=rng.normal(size=(m, 3)), sigma=0.5, eps=0.25
    )
    return rp.robust_sets(predict, **(given | change))


def test_own_data_gives_sets_and_lists_work(capsys):
    sets = own()
    assert "full" not in capsys.readouterr().out
    assert sets.shape == (5, 2) and sets.dtype == bool
    assert np.array_equal(own(x_new=[[9.0, 9, 9], [-9, -9, -9]]), [[False, True], [True, False]])
    assert own(eps=5.0).all() and "All sets are full" in capsys.readouterr().out
    rng = np.random.default_rng(8)
    y = rng.integers(0, 2, 300)
    x = rng.normal(size=(300, 3)) + np.where(y, 1, -1)[:, None]
    near = own(x_new=x + 0.25 / np.sqrt(3) * np.where(y, -1, 1)[:, None])  # the worst push
    assert near[np.arange(300), y].mean() >= 0.9


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(x_new=[[np.nan, 0, 0]]), "missing or infinite"),
        (dict(x_new=[["a", "b", "c"]]), "needs numbers"),
        (dict(x_cal=np.zeros((9, 3)), y_cal=[0, 1, 0] * 3), "Give 10 rows"),
        (dict(alpha=1.5), "2 beta < alpha < 1"),
        (dict(x_new=[]), "one row an example"),
        (dict(y_cal=[0, 1]), "one label"),
        (dict(y_cal=np.full(300, 2)), "Labels: 0 to 1, whole"),
        (dict(y_hold=np.full(300, 0.5)), "map words"),
        (dict(sigma=0.0), "sigma, eps > 0"),
        (dict(eps=-1.0), "sigma, eps > 0"),
        (dict(copies=1), "copies"),
    ],
)
def test_own_data_refuses_bad_input(change, words):
    with pytest.raises(ValueError, match=words):
        own(**change)
    with pytest.raises(ValueError, match="probabilities"):
        x = np.zeros((20, 3))
        rp.robust_sets(lambda x: 0.9 * predict(x), x, [0] * 20, x, [0] * 20, x, 0.5, 0.25)


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {"network": "ResNet-18", "copies": 64, "sweep_copies": (8, 64), "sweep": 60}
LIGHT = True  # a few layers stand in for the ResNet-18


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cifar10": cifar_files(rows=230)}
