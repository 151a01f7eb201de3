"""Purchases, losses and the Pareto frontier of `quantity_quality`, each against a naive version."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tests.conftest import definitions

ns = definitions("quantity_quality")


@pytest.mark.parametrize("seed", range(30))
def test_the_frontier_against_all_pairs(seed):
    rng = np.random.default_rng(seed)
    cost = np.round(np.exp(rng.uniform(0, 3, 40)), rng.integers(0, 3))
    cost[20:] = cost[:20] * rng.choice([1.004, 1.02], 20)  # neighbours
    height = np.round(rng.uniform(60, 64, 40), rng.integers(1, 3))
    n = range(len(cost))
    good = [
        i
        for i in n
        if all(height[i] > height[j] + 0.2 for j in n if cost[j] < cost[i])
        and all(height[i] >= height[j] for j in n if abs(cost[j] - cost[i]) <= 0.01 * cost[i])
    ]
    kept = ns.frontier(cost, height)
    assert sorted({(cost[i], height[i]) for i in good}) == [(cost[i], height[i]) for i in kept]


@pytest.mark.parametrize("kappa", [0.0, 0.2, 0.5])
def test_log_confidence_targets_one_head_at_a_time(kappa):
    g = torch.Generator().manual_seed(1)
    y, probs = torch.rand(4, 32, generator=g), torch.rand(4, 32, 3, generator=g)
    y[3] = 1.0  # no negative at all
    got = ns.target_of(y, probs, kappa)
    for j in range(4):
        positives = 32 - int(torch.round((1 - y[j].mean()) * 32))
        for k in range(3):
            pseudo = torch.zeros(32)
            pseudo[probs[j, :, k].argsort(descending=True)[:positives]] = 1.0
            assert torch.allclose(got[j, :, k], (1 - kappa) * y[j] + kappa * pseudo)


def test_the_step_is_adamw_on_cross_entropy():
    g = torch.Generator().manual_seed(2)
    x, y = torch.randn(2, 16, 5, generator=g), torch.rand(2, 16, generator=g)
    w = torch.randn(2, 5, 1, generator=g)
    leaf = w.clone().requires_grad_()
    adam = torch.optim.AdamW([leaf], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01)
    state = torch.zeros_like(w), torch.zeros_like(w)
    for t in range(1, 31):
        warm, cosine = min(1, t / 3), 0.5 + 0.5 * np.cos(np.pi * t / 30)
        adam.param_groups[0]["lr"] = 0.01 * warm * cosine
        adam.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits((x @ leaf)[..., 0], y, reduction="none")
        loss.mean(1).sum().backward()
        adam.step()
        ns.training_step(w, state, x, y, torch.tensor([0.01]), t, 30)
        assert torch.allclose(w, leaf.detach(), atol=1e-5)


def test_auroc_against_scikit_learn():
    g = torch.Generator().manual_seed(3)
    scores, y = torch.randn(5, 30, 2, generator=g), torch.rand(5, 30, generator=g)
    y[:, :4] = 0.5  # neither class: does not count
    used = torch.arange(30) < torch.tensor([[30], [20], [11], [25], [7]])
    y[4] = 1.0
    got = ns.auroc(scores, y, used)
    for j in range(4):
        rows = used[j] & (y[j] != 0.5)
        for k in range(2):
            assert got[j, k].item() == pytest.approx(roc_auc_score(y[j, rows] > 0.5, scores[j, rows, k]))
    assert (got[4] == 0.5).all()


def test_a_stage_trains_each_job_as_if_alone():
    rng = np.random.default_rng(4)
    x = torch.tensor(rng.normal(size=(300, 6)), dtype=torch.float32)
    truth = (x[:, 0] > 0).double().numpy()
    items = [rng.permutation(300)[:n] for n in (200, 3, 0, 40)]
    labels = [truth[i] for i in items]
    w = torch.tensor(rng.normal(size=(4, 6)), dtype=torch.float32)
    how = dict(rates=(0.01, 0.1), steps=60, batch=16, checks=3, cap=30)
    together = ns.train_stage(x, w, items, labels, **how)
    for j in range(4):
        alone = ns.train_stage(x, w[j : j + 1], items[j : j + 1], labels[j : j + 1], **how)
        assert torch.allclose(together[j], alone[0], atol=1e-5)
    assert torch.equal(together[1:3], w[1:3])  # too few labels
    guess = (x @ together[0] > 0).numpy()
    assert (guess == truth).mean() > 0.9
    assert ns.train_stage(x, w, [[]] * 4, [[]] * 4, **how) is w


def test_purchases_spend_the_budget_and_no_more_items_than_there_are():
    for price in (0.5, 0.1, 0.01):
        for budget in (16, 64, 800):
            for fraction in (0, 0.05, 0.4, 0.95, 1):
                weak, true = ns.purchase(budget, fraction, price, 10**6)
                assert abs(weak * price + true - budget) <= 0.5 + price
                weak, true = ns.purchase(budget, fraction, price, 1000)
                assert weak + true <= 1000


def test_the_majority_and_the_weak_model():
    votes = np.array([[1, 1, 0, np.nan], [0, 0.5, np.nan, np.nan], [1, 0, 0.5, np.nan], [1, 0.5, 0.5, 0.5]])
    assert ns.majority(votes).tolist() == [1, 0, 0.5, 1]
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 4))
    y = (x[:, 0] + rng.normal(size=200) > 0).astype(float)
    peer = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10).fit(x, y)
    assert np.allclose(ns.logistic(x, y), peer.coef_[0], atol=1e-4)
