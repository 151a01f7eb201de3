"""Nested dropout's mask and the exchange of Co-teaching, against versions written one case at a time."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conftest import definitions

nb = definitions("nested_dropout")


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def naive_probabilities(D, sigma):
    weights = [math.exp(-((k / sigma) ** 2)) for k in range(1, D + 1)]
    return [w / sum(weights) for w in weights]


@pytest.mark.parametrize(("D", "sigma"), [(12, 3), (12, 5), (30, 100)])
def test_k_follows_the_law_of_the_paper(D, sigma):
    p = naive_probabilities(D, sigma)
    assert torch.allclose(nb.k_probabilities(D, sigma), torch.tensor(p, dtype=torch.float64), atol=1e-12)
    draws, ones, gens = 6000, torch.ones(1, 1, D), generators(0)
    k = torch.tensor([int(nb.nested_dropout(ones, gens, sigma).sum()) for _ in range(draws)])
    for value in range(1, D + 1):
        expected = p[value - 1]
        error = 4.5 * math.sqrt(expected * (1 - expected) / draws) + 1e-3
        assert abs((k == value).double().mean().item() - expected) < error


def test_the_expected_feature_is_the_tail_probability_without_rescaling():
    D, sigma = 16, 6
    p = naive_probabilities(D, sigma)
    z, gens = torch.rand(1, 3, D) + 0.5, generators(1)
    mean = torch.stack([nb.nested_dropout(z, gens, sigma) for _ in range(6000)]).mean(0)
    for j in range(D):
        tail = sum(p[j:])
        assert torch.allclose(mean[0, :, j] / z[0, :, j], torch.full((3,), tail), atol=0.03)


def test_one_k_for_the_whole_minibatch_and_one_draw_per_network():
    gens = generators(*range(40))
    kept = nb.nested_dropout(torch.ones(40, 7, 20), gens, 10).sum(-1)  # (N, B)
    assert (kept == kept[:, :1]).all()
    assert len(set(kept[:, 0].tolist())) > 3


def test_the_first_k_channels_are_kept_as_they_are_and_the_others_are_zero():
    z = torch.randn(3, 5, 8)
    k = torch.tensor([[1], [8], [3]])
    out = nb.keep_first(z, k)
    for n in range(3):
        for b in range(5):
            for d in range(8):
                assert out[n, b, d] == (z[n, b, d] if d < k[n, 0] else 0)


def test_running_sums_are_the_logits_of_every_truncation():
    z, w = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 6, 3, dtype=torch.float64)
    by_k = nb.logits_by_k(z, w)
    for n in range(2):
        for k in range(1, 7):
            assert torch.allclose(by_k[n, k - 1], z[n, :, :k] @ w[n, :k], atol=1e-12)


def test_best_k_prefers_few_channels_on_ties():
    accuracy = torch.tensor([[50.0, 60.0, 60.0, 40.0], [70.0, 70.0, 70.0, 70.1]])
    assert nb.best_k(accuracy).tolist() == [[2], [4]]


def test_dropout_drops_at_its_rate_and_keeps_the_mean():
    out = nb.dropout(torch.ones(2, 500, 40), generators(0, 1), 0.7)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.3])
    assert abs((out == 0).float().mean().item() - 0.7) < 0.01
    assert not torch.equal(out[0], out[1])


class Linear(nn.Module):
    """N networks whose features are one linear layer."""

    def __init__(self, N, d, D, C):
        super().__init__()
        g = torch.Generator().manual_seed(3)
        self.w = nn.Parameter(torch.randn(N, d, D, generator=g))
        self.head = nn.Parameter(torch.randn(N, D, C, generator=g))

    def features(self, x):
        return (x @ self.w).relu()


@pytest.mark.parametrize("nested", [False, True])
def test_each_network_learns_from_what_its_partner_chose(nested):
    """Two pairs against a loop over networks with one optimiser each."""
    N, b, d, D, C, lr, forget, k = 4, 10, 5, 6, 3, 0.1, 0.4, 4
    net = Linear(N, d, D, C)
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn(N, b, d, generator=g), torch.randint(C, (N, b), generator=g)
    expected, kept = [], []
    for n in range(N):  # what each network finds easy in its own half
        z = (x[n] @ net.w[n]).relu().detach()
        z[:, k:] = 0
        losses = [F.cross_entropy(z[i] @ net.head[n].detach(), y[n, i]).item() for i in range(b)]
        kept.append(sorted(range(b), key=losses.__getitem__)[: int(round((1 - forget) * b))])
    layer, masks = (partial(nb.nested_dropout, sigma=3) if nested else nb.no_dropout), generators(7, 7, 8, 8)
    for n in range(N):
        partner = n + 1 if n % 2 == 0 else n - 1
        w, head = (p[n].detach().clone().requires_grad_() for p in (net.w, net.head))
        optimizer = torch.optim.SGD([w, head], lr=lr)
        z = (x[partner, kept[partner]] @ w).relu()[None]
        if nested:
            z = nb.nested_dropout(z, generators([7, 7, 8, 8][n]), 3)
        F.cross_entropy(z[0] @ head, y[partner, kept[partner]]).backward()
        optimizer.step()
        expected.append((w.detach(), head.detach()))
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    chosen = nb.coteaching_step(net, optimizer, x, y, layer, masks, forget, torch.full((N, 1), k))
    for n in range(N):
        assert sorted(chosen[n].tolist()) == sorted(kept[n])
        assert torch.allclose(net.w[n], expected[n][0], atol=1e-6)
        assert torch.allclose(net.head[n], expected[n][1], atol=1e-6)


def test_forget_rate_zero_keeps_everything_and_rounding_does_not_lose_one():
    losses = torch.rand(2, 50)
    assert nb.small_loss(losses, 0.0).shape == (2, 50)
    assert nb.small_loss(losses, 0.7).shape == (2, 15)


def test_statistics_of_batch_norm_stay_frozen():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    net.train()
    nb.freeze_statistics(net)
    before = net[1].running_mean.clone()
    net(torch.randn(4, 1, 3, 3))
    assert torch.equal(net[1].running_mean, before)
    assert not net[1].weight.requires_grad and net[0].weight.requires_grad


def test_pairwise_noise_flips_the_share_of_each_listed_class_to_its_look_alike():
    y = torch.arange(10).repeat(20)
    noisy, changed = nb.pairwise(y, 0.3, {9: 7, 2: 4, 4: 2}, torch.Generator().manual_seed(0))
    for c in range(10):
        rows = y == c
        target = {9: 7, 2: 4, 4: 2}.get(c)
        assert changed[rows].sum() == (6 if target is not None else 0)
        if target is not None:
            assert set(noisy[rows & changed].tolist()) == {target}


def test_bias_and_variance_against_divergences_written_out():
    g = torch.Generator().manual_seed(2)
    log_q = torch.randn(7, 1, 4, generator=g, dtype=torch.float64).log_softmax(-1)
    weights = torch.rand(7, generator=g, dtype=torch.float64)
    weights /= weights.sum()
    risk, bias, variance = nb.bias_variance(log_q, weights, torch.tensor([2]))
    q = [[math.exp(v) for v in log_q[i, 0].tolist()] for i in range(7)]
    tilde = [math.exp(sum(weights[i].item() * math.log(q[i][c]) for i in range(7))) for c in range(4)]
    tilde = [t / sum(tilde) for t in tilde]
    naive = -sum(weights[i].item() * math.log(q[i][2]) for i in range(7))
    spread = sum(weights[i].item() * sum(tilde[c] * math.log(tilde[c] / q[i][c]) for c in range(4)) for i in range(7))
    assert risk.item() == pytest.approx(naive) and bias.item() == pytest.approx(-math.log(tilde[2]))
    assert variance.item() == pytest.approx(spread)
    assert risk.item() == pytest.approx(bias.item() + variance.item())
