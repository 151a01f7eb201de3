"""Purchases, training, scores and the frontier of `quantity_quality`, against the authors' rules or naive versions.

The authors' rules were read in github.com/EleutherAI/scalable-elicitation (cost_sweep.py, w2s/loss.py, w2s/sft_utils.py,
w2s/sft_config.py, vanilla_weak_labels.py, notebooks/figures.ipynb) and are written down here anew.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.conftest import definitions

ns = definitions("quantity_quality")


# -- purchases --------------------------------------------------------------------------------------------------


def test_purchases_are_the_authors():
    """Whole good labels first, what is left goes to weak ones; read off the counts that the authors' notebook prints."""
    printed = {  # (budget, weak share): weak, good
        (1024, 0.05): (520, 972),
        (512, 0.4): (2050, 307),
        (256, 0.4): (1030, 153),
        (256, 0.95): (2440, 12),
        (64, 0.2): (130, 51),
        (64, 0.05): (40, 60),
        (16, 1): (160, 0),
        (16, 0): (0, 16),
    }
    for (budget, share), bought in printed.items():
        assert ns.purchase(budget, share, 0.1, 10**6) == bought


def test_purchases_never_overspend_nor_run_negative():
    for price in (1, 0.5, 0.1, 0.01):
        for budget in (0, 1, 3, 16, 64, 256, 800):
            for share in (0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1):
                for pool in (budget, 1000, 10**6):
                    weak, good = ns.purchase(budget, share, price, max(pool, budget))
                    assert weak >= 0 and good >= 0 and weak + good <= max(pool, budget)
                    assert weak * price + good <= budget + 1e-9
                    if pool == 10**6:
                        assert budget - weak * price - good < price + 1e-9, "money for one more label is left"
    assert ns.purchase(800, 0.8, 0.1, 10**6) == (6400, 160)  # (1 - 0.8) * 800 is 159.99... in floating point


@pytest.mark.parametrize(
    "wrong", [(64, 0, 0.1, 50), (64, 1.2, 0.1, 99), (64, -0.1, 0.1, 99), (64, 0.5, 0, 99), (-1, 0, 1, 9)]
)
def test_impossible_purchases_are_refused(wrong):
    with pytest.raises(ValueError):
        ns.purchase(*wrong)


# -- training ---------------------------------------------------------------------------------------------------


def test_the_step_is_adamw_on_cross_entropy():
    g = torch.Generator().manual_seed(2)
    x, y = 3 * torch.randn(2, 16, 5, generator=g), torch.rand(2, 16, generator=g)
    w = torch.randn(2, 5, generator=g)
    leaves = [w[j].clone().requires_grad_() for j in range(2)]
    adam = [torch.optim.AdamW([leaf], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01) for leaf in leaves]
    state = torch.zeros_like(w), torch.zeros_like(w)
    for t in range(40):
        for j in range(2):
            adam[j].param_groups[0]["lr"] = rate = 0.01 * (1 + t % 3)
            adam[j].zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(x[j] @ leaves[j], y[j]).backward()
            torch.nn.utils.clip_grad_norm_([leaves[j]], 1.0)
            adam[j].step()
        ns.training_step(w, state, x, y, rate, t)
        assert torch.allclose(w, torch.stack([leaf.detach() for leaf in leaves]), atol=1e-5)


def authors_stage(x, w, rows, y, rate, generator, passes):
    """One job after the authors' rules: sizes, warm-up, cosine, looks, patience of 4 with threshold 0.01, best kept."""
    m = len(rows)
    held = max(int(0.2 * m), 2)
    per_epoch = math.ceil(m / 32)
    eval_every, warm_up = min(50, per_epoch), max(min(40, per_epoch), 2)
    train, y_train = rows[held:], y[held:]
    updates = max(len(train) // 32, 1)
    total = math.ceil(max(passes / m, 1) * updates)
    head = w.clone().requires_grad_()
    adam = torch.optim.AdamW([head], lr=rate, betas=(0.9, 0.95), weight_decay=0.01)

    def factor(step):
        if step < warm_up:
            return step / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
    kept, best, goal, bad, step = w.clone(), -1.0, None, 0, 0
    while step < total:
        order = torch.randperm(len(train), generator=generator)
        for k in range(updates):
            if step == total:
                break
            batch = order[32 * k : 32 * (k + 1)]
            adam.zero_grad()
            logits = x[train[batch]] @ head
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y_train[batch]).backward()
            torch.nn.utils.clip_grad_norm_([head], 1.0)
            adam.step()
            schedule.step()
            step += 1
            if step % eval_every == 0 or step == total:
                truth = (y[:held] > 0.5).numpy()
                one_class = truth.all() or not truth.any()
                scores = (x[rows[:held]] @ head.detach()).numpy()
                # in single precision, as the notebook: equal ranks give equal values
                value = torch.tensor(0.5 if one_class else roc_auc_score(truth, scores)).float()
                if value > best:
                    best, kept = value, head.detach().clone()
                if goal is None or value >= goal + 0.01:
                    goal, bad = value, 0
                else:
                    bad += 1
                    if bad == 4:
                        return kept, best
    return kept, best


@pytest.mark.parametrize("m", [3, 4, 16, 45, 300])
def test_a_stage_against_the_authors_rules(m):
    rng = np.random.default_rng(m)
    x = torch.tensor(rng.normal(size=(600, 6)), dtype=torch.float32)
    soft = torch.sigmoid(2 * x[:, 0] + torch.tensor(rng.normal(size=600), dtype=torch.float32))
    rows = torch.tensor(np.array([rng.permutation(600)[:m] for _ in range(16)]))
    w = 0.1 * torch.tensor(rng.normal(size=(16, 6)), dtype=torch.float32)
    streams = [torch.Generator().manual_seed(s) for s in range(16)]
    got, score = ns.train_stage(x, w, rows, soft[rows], 0.003, streams, passes=3000)
    for j in range(16):
        generator = torch.Generator().manual_seed(j)
        head, best = authors_stage(x, w[j], rows[j], soft[rows[j]], 0.003, generator, 3000)
        assert torch.allclose(got[j], head, atol=1e-4), j
        assert score[j].item() == pytest.approx(float(best), abs=1e-6)
    if m == 300:
        assert ((x @ got[0] > 0) == (x[:, 0] > 0)).float().mean() > 0.7


def test_stages_without_training_labels_are_skipped_and_starts_stay_untouched():
    x, w = torch.randn(20, 3), torch.randn(2, 3)
    before = w.clone()
    for m in (0, 1, 2):
        rows = torch.arange(m).repeat(2, 1)
        got, score = ns.train_stage(x, w, rows, torch.ones(2, m), 0.01, [])
        assert torch.equal(got, before) and (score == -1).all()
    rows = torch.stack([torch.randperm(20), torch.randperm(20)])
    streams = [torch.Generator().manual_seed(s) for s in range(2)]
    one_class, score = ns.train_stage(x, w, rows, torch.ones(2, 20), 0.01, streams)
    assert torch.equal(w, before) and (score == 0.5).all() and torch.isfinite(one_class).all()


# -- targets and scores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 50, 200, 900])
def test_log_confidence_targets_are_the_authors(t):
    g = torch.Generator().manual_seed(1)
    y, probs = torch.rand(5, 32, generator=g), torch.rand(5, 32, generator=g)
    y[2], y[3], probs[4] = 1.0, 0.0, 0.3  # one class only, the other only, constant scores
    got = ns.confident_target(y, probs, t)
    coefficient = 0.5 * min(1.0, t / 200)
    for j in range(5):
        zero = 1 - probs[j]  # probability of class 0
        threshold = torch.quantile(zero, y[j].mean().item())
        strong = (zero < threshold).float()
        assert torch.allclose(got[j], (1 - coefficient) * y[j] + coefficient * strong, atol=1e-6)
    assert torch.equal(ns.confident_target(y, probs, 0), y)


def test_auroc_against_scikit_learn():
    g = torch.Generator().manual_seed(3)
    scores, y = torch.randn(6, 30, generator=g), torch.rand(6, 30, generator=g)
    y[:, :4] = 0.5  # neither class: does not count
    scores[1] = scores[1].round()  # ties
    scores[2] = 1.0  # constant
    scores[3, 5:9] = torch.tensor([torch.inf, -torch.inf, torch.inf, -torch.inf])
    y[4] = 1.0  # one class
    got = ns.auroc(scores, y)
    for j in (0, 1, 2, 3, 5):
        rows = y[j] != 0.5
        finite = scores[j, rows].clamp(-1e9, 1e9)
        assert got[j].item() == pytest.approx(roc_auc_score(y[j, rows] > 0.5, finite), abs=1e-6)
    assert got[2] == 0.5 and got[4] == 0.5
    assert ns.auroc(scores[:, :0], y[:, :0]).tolist() == [0.5] * 6
    with pytest.raises(ValueError, match="NaN"):
        ns.auroc(torch.tensor([[0.0, torch.nan]]), torch.tensor([[0.0, 1.0]]))


def test_shuffled_errors_are_the_authors():
    """|weak - truth| is permuted, then taken from 1 or added to 0: the same accuracy and distances, other places."""
    rng = np.random.default_rng(7)
    weak, truth = rng.random(5000), rng.random(5000) > 0.4
    got = ns.shuffle_errors(weak, truth, np.random.default_rng(0))
    distance = np.random.default_rng(0).permutation(np.abs(weak - truth))
    assert np.allclose(got, truth + np.where(truth, -distance, distance))
    assert ((got > 0.5) == truth).mean() == pytest.approx(((weak > 0.5) == truth).mean(), abs=1e-9)
    assert abs(np.corrcoef(np.abs(got - truth), np.abs(weak - truth))[0, 1]) < 0.05


# -- the frontier -----------------------------------------------------------------------------------------------


def authors_frontier(costs, perfs, cost_rtol, perf_atol):
    """The rules of `get_pareto_points`: the cheapest, then whatever beats the frontier by more than the tolerance and has no
    equal or better neighbour in cost."""
    points = sorted(set(zip(costs, perfs)), key=lambda p: (p[0], -p[1]))
    found = [points[0]]
    for cost, perf in points[1:]:
        near = [q for q in points if q != (cost, perf) and abs(q[0] - cost) / cost <= cost_rtol]
        if perf > found[-1][1] + perf_atol and all(q[1] < perf for q in near):
            found.append((cost, perf))
    return found


@pytest.mark.parametrize("seed", range(30))
def test_the_frontier_is_the_authors(seed):
    rng = np.random.default_rng(seed)
    cost = np.round(np.exp(rng.uniform(0, 3, 40)), rng.integers(0, 3))
    cost[20:] = cost[:20] * rng.choice([1.004, 1.02, 1.06], 20)  # neighbours
    height = np.round(rng.uniform(60, 64, 40), rng.integers(1, 3))
    kept = ns.frontier(cost, height)
    assert [(cost[i], height[i]) for i in kept] == authors_frontier(cost.tolist(), height.tolist(), 0.05, 0.2)


def test_a_frontier_of_one_point_of_none_and_of_ties():
    assert ns.frontier([3], [50]) == [0] and ns.frontier([], []) == []
    assert len(ns.frontier([1, 1, 1], [50, 50, 50])) == 1


# -- labels and students ----------------------------------------------------------------------------------------


def test_the_majority_of_votes():
    nan = np.nan
    votes = np.array([[1, 1, 0, nan], [0, 0.5, nan, nan], [1, 0, 0.5, nan], [1, 0.5, 0.5, 0.5], [nan] * 4])
    assert ns.majority(votes).tolist() == [1, 0, 0.5, 1, 0.5]


def world(seeds=2, n=300):
    g = torch.Generator().manual_seed(11)
    x = torch.randn(n, 5, generator=g)
    good = (x[:, 0] > 0).float().repeat(seeds, 1)
    order = torch.stack([torch.randperm(n, generator=g) for _ in range(seeds)])
    return SimpleNamespace(x=x, good=good, order=order, seeds=list(range(seeds)), start=x.new_zeros(5) + 1.0)


@pytest.mark.parametrize("method", ["sequential", "uncertainty", "log-confidence", "mixture", "good first", "prior"])
def test_every_method_trains_on_what_was_bought_and_no_more(method, monkeypatch):
    here = definitions("quantity_quality")
    seen = []

    def spy(x, w, rows, y, rate, orders, passes, confident):
        seen.append((rows, y, passes, confident, w.clone()))
        return w + 1, torch.zeros(len(w))

    scope = here.students.__globals__
    monkeypatch.setitem(scope, "train_stage", spy)
    monkeypatch.setitem(scope, "cfg", SimpleNamespace(passes=100))
    data = world()
    cheap = torch.full_like(data.good, 0.7)
    here.students(data, (20, 10), cheap, 0.01, method)
    bought = torch.cat([rows for rows, *_ in seen], 1)
    labels = torch.cat([y for _, y, *_ in seen], 1)
    assert bought.shape == (2, 30) and all(len(set(row.tolist())) == 30 for row in bought)
    assert ((labels - 0.7).abs() < 1e-6).sum(1).tolist() == [20, 20]
    for rows, y in zip(bought, labels):
        assert all(v in (0.0, 1.0) for v in y[(y - 0.7).abs() > 1e-6].tolist()) and rows.max() < 300
    assert sum(passes for *_, passes, _, _ in seen) == 200  # equal training for all
    assert [c for *_, c, _ in seen] == [method == "log-confidence", False][: len(seen)]
    assert (seen[0][-1] == (1.0 if method == "prior" else 0.0)).all()
    if method == "uncertainty":
        doubt = (data.x @ torch.ones(5)).abs()
        for rows, order in zip(seen[1][0], data.order):
            assert set(rows.tolist()) == set(order[20:][doubt[order[20:]].argsort()[:10]].tolist())


def test_nothing_bought_leaves_the_heads_at_their_start(monkeypatch):
    here = definitions("quantity_quality")
    monkeypatch.setitem(here.students.__globals__, "cfg", SimpleNamespace(passes=100))
    w, _ = here.students(world(), (0, 0), world().good, 0.01)
    assert (w == 0).all()


def test_own_data_refuses_what_it_cannot_read():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    assert ns.two_stages(x.tolist(), y.tolist(), x, y, x[:3]).shape == (3,)
    for good, labels, new, why in (
        (x, y[:5], x, "one label from 0 to 1"),
        (x, y + 1, x, "one label from 0 to 1"),
        (x, y * np.nan, x, "one label from 0 to 1"),
        (x[:, :1], y, x, "as the others"),
        (x, y, x[:, :1], "as the others"),
        (x * np.nan, y, x, "missing or infinite"),
    ):
        with pytest.raises(ValueError, match=why):
            ns.two_stages(x, y, good, labels, new)
