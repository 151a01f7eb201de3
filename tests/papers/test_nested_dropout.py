"""Nested dropout's mask, the choice of k and the exchange of Co-teaching, against the authors' formulas and naive loops."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared import stack
from tests.conftest import definitions
from tests.test_full_data import cifar_files

nb = definitions("nested_dropout")


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def authors_probabilities(D, sigma):
    """As the published code has them: exp(-((i - 0) / sigma) ** 2) for i = 1..D, over their sum."""
    weights = [math.exp(-((k / sigma) ** 2)) for k in range(1, D + 1)]
    return [w / sum(weights) for w in weights]


@pytest.mark.parametrize(("D", "sigma"), [(12, 3), (12, 5), (30, 100), (512, 10)])
def test_k_follows_the_law_of_the_authors_code(D, sigma):
    p = authors_probabilities(D, sigma)
    assert torch.allclose(nb.k_probabilities(D, sigma), torch.tensor(p, dtype=torch.float64), rtol=1e-9, atol=1e-15)
    draws, ones, gens = 6000, torch.ones(1, 1, D), generators(0)
    k = torch.tensor([int(nb.nested_dropout(ones, gens, sigma).sum()) for _ in range(draws)])
    for value in range(1, min(D, 40) + 1):
        expected = p[value - 1]
        error = 4.5 * math.sqrt(expected * (1 - expected) / draws) + 1e-3
        assert abs((k == value).double().mean().item() - expected) < error


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 1e-200, 1e-308])
def test_a_tiny_sigma_leaves_the_first_channel(sigma):
    """Written as exp(-(k / sigma) ** 2) every weight underflows and the sum is 0 / 0."""
    assert nb.k_probabilities(6, sigma).tolist() == [1, 0, 0, 0, 0, 0]
    assert nb.nested_dropout(torch.ones(1, 2, 6), generators(0), sigma).sum(-1).tolist() == [[1, 1]]


def test_other_ends_of_sigma():
    assert nb.k_probabilities(4, math.inf).tolist() == [0.25] * 4
    assert nb.k_probabilities(1, 10).tolist() == [1.0]
    for sigma in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            nb.k_probabilities(4, sigma)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 1.0])
def test_dropout_is_that_of_torch_value_and_gradient(rate):
    z = random(2, 300, 40, seed=0).requires_grad_()
    out = nb.dropout(z, generators(0, 1), rate)
    out.sum().backward()
    kept = out.detach() != 0
    theirs = F.dropout(torch.ones(1000), rate).unique().tolist()  # the factors that torch's own can give
    assert set((out.detach() / z.detach()).unique().round(decimals=6).tolist()) == {round(v, 6) for v in theirs}
    assert abs(kept.double().mean().item() - (1 - rate)) < 0.015
    torch.testing.assert_close(z.grad, kept.double() / (1 - rate) if rate < 1 else torch.zeros_like(z))
    assert out.isfinite().all() and (rate in (0, 1) or not torch.equal(kept[0], kept[1]))


def test_nested_dropout_cuts_value_and_gradient_after_channel_k():
    z = random(3, 5, 8, seed=1).requires_grad_()
    p = torch.tensor(authors_probabilities(8, 4), dtype=torch.float64)
    k = [int(torch.multinomial(p, 1, generator=g)) + 1 for g in generators(0, 1, 2)]
    out = nb.nested_dropout(z, generators(0, 1, 2), 4)
    (out**2).sum().backward()
    for n in range(3):
        for b in range(5):
            for d in range(8):
                kept = z[n, b, d].item() if d < k[n] else 0.0
                assert out[n, b, d].item() == kept and z.grad[n, b, d].item() == 2 * kept


def test_the_expected_feature_is_the_tail_probability_without_rescaling():
    D, sigma = 16, 6
    p = authors_probabilities(D, sigma)
    gens, z = generators(1), torch.rand(1, 3, D) + 0.5
    mean = torch.stack([nb.nested_dropout(z, gens, sigma) for _ in range(6000)]).mean(0)
    for j in range(D):
        assert torch.allclose(mean[0, :, j] / z[0, :, j], torch.full((3,), sum(p[j:])), atol=0.03)


def test_one_k_for_the_whole_minibatch_and_one_draw_per_network():
    kept = nb.nested_dropout(torch.ones(40, 7, 20), generators(*range(40)), 10).sum(-1)  # (N, B)
    assert (kept == kept[:, :1]).all()
    assert len(set(kept[:, 0].tolist())) > 3


def test_running_sums_are_the_logits_of_every_truncation():
    z, w = random(2, 4, 6, seed=2), random(2, 6, 3, seed=3)
    by_k = nb.logits_by_k(z, w)
    for n in range(2):
        for k in range(1, 7):
            torch.testing.assert_close(by_k[n, k - 1], z[n, :, :k] @ w[n, :k], rtol=0, atol=1e-12)


def by_k_of(answers):
    """Logits (N, D, n, 2) whose largest entry is the answer 0 or 1."""
    return F.one_hot(torch.tensor(answers), 2).double()


def test_best_k_prefers_few_channels_on_ties():
    y = torch.zeros(2, 4, dtype=torch.long)
    right, half, none = [0] * 4, [0, 0, 1, 1], [1] * 4
    assert nb.best_k(by_k_of([[half, right, right, none], [right] * 4]), y).tolist() == [[2], [1]]
    assert nb.best_k(by_k_of([[none, none, half, half], [none, half, none, right]]), y).tolist() == [[3], [4]]


def test_a_thousand_channels_cost_one_percent():
    """The official rule: accuracy less 1e-5 for every channel."""
    y = torch.zeros(1, 200, dtype=torch.long)
    few, more = [0] * 198 + [1] * 2, [0] * 199 + [1]  # 99.0 and 99.5 %
    answers = [few] + [[1] * 200] * 399 + [more] + [[1] * 200] * 200
    assert nb.best_k(by_k_of([answers]), y).item() == 401  # 0.005 gained for 0.004
    assert nb.best_k(by_k_of([[few] + [[1] * 200] * 599 + [more]]), y).item() == 1


def test_nan_logits_are_refused():
    by_k = torch.zeros(1, 3, 2, 2)
    by_k[0, 1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        nb.best_k(by_k, torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="NaN"):
        nb.single(torch.full((2, 3, 4), torch.nan), torch.zeros(2, 3, dtype=torch.long))


@pytest.mark.parametrize("pair", [False, True])
def test_k_of_networks_and_of_pairs_against_a_loop(pair):
    z, w = random(4, 30, 6, seed=4), random(4, 6, 3, seed=5)
    y = torch.arange(30).remainder(3).expand(4, -1)
    found = nb.choose_k(z, w, y, pair)
    for n in range(4):
        scores = []
        for k in range(1, 7):
            logits = [z[m, :, :k] @ w[m, :k] for m in ((n % 2, n % 2 + 2) if pair else (n,))]
            scores.append((sum(logits).argmax(-1) == y[n]).double().mean().item() - 1e-5 * k)
        assert found[n].item() == 1 + scores.index(max(scores))


def test_small_losses():
    losses = torch.tensor([[3.0, 1.0, 2.0, 9.0], [0.5, 7.0, torch.nan, 0.1]])
    assert nb.small_loss(losses, 0.5).tolist() == [[1, 2], [3, 0]]
    assert nb.small_loss(losses, 0.25).tolist() == [[1, 2, 0], [3, 0, 1]], "NaN is chosen last"
    assert nb.small_loss(losses, 0.0).shape == (2, 4)
    assert nb.small_loss(losses, 1.0).tolist() == [[1], [3]], "one is kept, so that there is a mean"
    assert nb.small_loss(losses[:, :1], 0.9).tolist() == [[0], [0]]
    assert nb.small_loss(torch.rand(2, 50), 0.7).shape == (2, 15), "rounding must not lose one"
    assert nb.small_loss(torch.rand(2, 20), 0.9).shape == (2, 2), "(1 - 0.9) * 20 is just below 2"
    for rate in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            nb.small_loss(losses, rate)


@pytest.mark.parametrize(("rate", "epochs", "ramp"), [(0.5, 60, 5), (0.2, 10, 10), (0.3, 4, 0), (0.4, 3, 1)])
def test_the_forget_rate_of_a_fresh_start_is_the_authors_schedule(rate, epochs, ramp):
    theirs = np.ones(epochs) * rate  # as in their code, and in that of Co-teaching
    theirs[:ramp] = np.linspace(0, rate, ramp)
    assert np.allclose(nb.forget_rates(rate, epochs, ramp), theirs)
    assert ramp == 0 or nb.forget_rates(rate, epochs, ramp)[0] == 0, "nothing is forgotten in the first epoch"


def test_a_run_shorter_than_the_ramp():
    assert nb.forget_rates(0.4, 3, 5).tolist() == pytest.approx([0, 0.1, 0.2])


class Networks(nn.Module):
    """N networks whose features are one linear layer with a ReLU."""

    def __init__(self, N, d, D, C):
        super().__init__()
        self.features = nn.Sequential(stack.Linears(d, D, range(N), "w", bias=False), nn.ReLU())
        self.head = stack.Linears(D, C, range(N), "head", bias=False)


@pytest.mark.parametrize("forget", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("nested", [False, True])
def test_each_network_learns_from_what_its_partner_chose(nested, forget):
    """Two pairs against a loop over networks with one optimiser each."""
    N, b, d, D, C, lr, k = 4, 10, 5, 6, 3, 0.1, 4
    net = Networks(N, d, D, C)
    x, y = random(N, b, d, seed=6).float(), torch.arange(N * b).view(N, b) % C
    weights = [(net.features[0].weight[n].detach().clone(), net.head.weight[n].detach().clone()) for n in range(N)]
    kept = []
    for n, (w, head) in enumerate(weights):  # what each network finds easy in its own half
        z = (x[n] @ w).relu()
        z[:, k:] = 0
        losses = [F.cross_entropy(z[i] @ head, y[n, i]).item() for i in range(b)]
        kept.append(sorted(range(b), key=losses.__getitem__)[: max(1, round((1 - forget) * b))])
    layer, seeds = (partial(nb.nested_dropout, sigma=3) if nested else nb.no_dropout), (7, 8, 7, 8)
    expected = []
    for n, (w, head) in enumerate(weights):
        partner = (n + 2) % 4
        w, head = w.clone().requires_grad_(), head.clone().requires_grad_()
        z = (x[partner, kept[partner]] @ w).relu()[None]
        if nested:
            z = nb.nested_dropout(z, generators(seeds[n]), 3)
        F.cross_entropy(z[0] @ head, y[partner, kept[partner]]).backward()
        expected.append((w.detach() - lr * w.grad, head.detach() - lr * head.grad))
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    every = torch.full((N, 1), k)
    chosen = nb.coteaching_step(net, optimizer, x, y, layer, generators(*seeds), forget, every)
    for n in range(N):
        assert sorted(chosen[n].tolist()) == sorted(kept[n])
        torch.testing.assert_close(net.features[0].weight[n].detach(), expected[n][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(net.head.weight[n].detach(), expected[n][1], rtol=1e-5, atol=1e-6)


def test_the_loss_is_torchs_cross_entropy():
    logits, y = random(3, 4, 5, seed=7).requires_grad_(), torch.arange(12).view(3, 4) % 5
    value = nb.cross_entropy(logits, y)
    want = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(3, 4)
    torch.testing.assert_close(value, want)
    (ours,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(ours, logits.detach().softmax(-1) - F.one_hot(y, 5))


def test_networks_side_by_side_take_the_step_that_they_take_alone():
    x, y = random(3, 6, 5, seed=8).float(), torch.arange(18).view(3, 6) % 3
    net = Networks(3, 5, 4, 3)
    single = [[p[n].detach().clone().requires_grad_() for p in net.parameters()] for n in range(3)]
    nb.training_step(net, torch.optim.SGD(net.parameters(), 0.1), x, y, nb.no_dropout, None)
    for n, (w, head) in enumerate(single):
        F.cross_entropy((x[n] @ w).relu() @ head, y[n]).backward()
        for ours, alone in zip(net.parameters(), (w, head)):
            torch.testing.assert_close(ours[n].detach(), alone.detach() - 0.1 * alone.grad, rtol=1e-5, atol=1e-6)


def test_statistics_of_batch_norm_stay_frozen():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    net.train()
    nb.freeze_statistics(net)
    before = net[1].running_mean.clone()
    net(torch.randn(4, 1, 3, 3))
    assert torch.equal(net[1].running_mean, before)
    assert not net[1].weight.requires_grad and net[0].weight.requires_grad


def test_noise_by_name():
    nb.corrupt.__globals__["ALIKE"] = {9: 7, 2: 4, 4: 2}
    y = torch.arange(10).repeat(20)
    g = torch.Generator().manual_seed(0)
    assert (nb.corrupt(y, "symmetric 50 %", g) != y).sum() == 100
    noisy = nb.corrupt(y, "asymmetric 40 %", g)
    for c in range(10):
        changed = noisy[(y == c) & (noisy != y)]
        target = {9: 7, 2: 4, 4: 2}.get(c)
        assert changed.tolist() == ([target] * 8 if target is not None else [])


def test_partners_and_shares():
    values = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    assert nb.partners(values).tolist() == [[2.0], [4.0]]
    assert nb.exchange(values).flatten().tolist() == [3.0, 6.0, 1.0, 2.0]
    hits = torch.tensor([[True, False, True], [False, False, False]])
    assert nb.share(hits, torch.ones(2, 3, dtype=torch.bool)).tolist() == pytest.approx([100 / 3])


def clouds(n=240, wrong_every=4):
    g = np.random.default_rng(0)
    y = np.arange(n) % 3
    given = np.where(np.arange(n) % wrong_every == 0, (y + 1) % 3, y)
    return 2.5 * np.eye(3)[y] + g.normal(scale=0.5, size=(n, 3)), y, given


def test_a_pair_on_three_clouds_names_the_true_classes():
    x, y, given = clouds()
    named, k = nb.fit_pair(x, given, x, wrong=0.25, epochs=15)
    assert named.shape == y.shape and 1 <= k <= 128
    assert (named == y).mean() > 0.9 > (given == y).mean()


def test_what_the_function_for_own_data_refuses():
    x, _, given = clouds(30)
    missing = np.where(x == x[0, 0], np.nan, x)
    for bad_x, bad_y, wrong, why in (
        (x[:5], given, 0.2, "one label a row"),
        (x, given + 0.5, 0.2, "whole numbers"),
        (x[:, :2], given, 0.2, "as the others"),
        (x, np.zeros(30, int), 0.2, "two classes"),
        (missing, given, 0.2, "missing or infinite"),
        (x, given, 1.0, "below 1"),
    ):
        with pytest.raises(ValueError, match=why):
            nb.fit_pair(bad_x, bad_y, x, wrong=wrong)


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {
    "images": "32 x 32 colour", "network": "ResNet-18", "n_train": 40, "n_val": 20, "n_test": 20, "batch": 20,
    "channels": 512, "epochs": 1, "stage2_epochs": 1, "ce_decays": (5e-4,), "dropout_rates": (0.3,), "sigmas": (10,),
    "forget_shares": (1.0,), "other_noise": (),
}  # fmt: skip
LIGHT = True  # a few layers stand in for the ResNet-18


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cifar10": cifar_files(rows=90)}
