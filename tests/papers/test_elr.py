"""Early-learning regularisation: loss, targets and gradients against the authors' formulas, naive loops, closed forms."""

import math

import numpy as np
import pytest
import torch

from tests.conftest import definitions
from tests.test_full_data import cifar_files, cifar_human_files

elr = definitions("elr")
LOW, HIGH = 1e-4, 1 - 1e-4


def random(*shape, seed, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def authors_loss(logits, y, targets, rows, beta, lam):
    """As the published loss computes it, one example after another: value, and the targets after it."""
    targets, losses = targets.clone(), []
    for k, i in enumerate(rows.tolist()):
        p = torch.softmax(logits[k], 0)
        clamped = torch.clamp(p, LOW, HIGH)
        past = clamped.detach()
        targets[i] = beta * targets[i] + (1 - beta) * past / past.sum()
        ce = torch.logsumexp(logits[k], 0) - logits[k, y[k]]
        losses.append(ce + lam * torch.log(1 - (targets[i].clone() * clamped).sum()))
    return torch.stack(losses).mean(), targets


def ours(logits, y, targets, rows, beta, lam):
    targets = targets.clone()
    t = elr.update_targets(targets, rows, elr.clamped_probs(logits), beta)
    return elr.elr_loss(logits, y, t, lam).mean(), targets


def value_and_gradient(loss, logits, *rest):
    logits = logits.clone().requires_grad_()
    value, targets = loss(logits, *rest)
    value.backward()
    return value.detach(), logits.grad, targets


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 30.0])  # at 30 nearly every entry is clamped
def test_the_loss_and_its_gradient_are_the_authors(scale):
    logits, y = random(7, 10, seed=0, scale=scale), torch.arange(7)
    targets, rows = 0.8 * random(12, 10, seed=1).softmax(-1), torch.tensor([11, 0, 3, 5, 8, 2, 9])
    want = value_and_gradient(authors_loss, logits, y, targets, rows, 0.7, 3.0)
    got = value_and_gradient(ours, logits, y, targets, rows, 0.7, 3.0)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_settled_target_leaves_a_sure_network_nearly_alone():
    """Logits (10, 0 x 9), given label 1, target settled at class 0: clamped entries carry no gradient."""
    logits = torch.zeros(1, 10, dtype=torch.float64)
    logits[0, 0] = 10
    y, rows = torch.tensor([1]), torch.tensor([0])
    past = logits.softmax(-1).clamp(LOW, HIGH)
    targets = past / past.sum()
    _, gradient, _ = value_and_gradient(ours, logits, y, targets, rows, 0.7, 3.0)
    p = logits.softmax(-1)[0]
    slope = -3 * targets[0, 0] / (1 - (past * targets).sum())  # of the term by p_0, the only free entry
    want = p[0] + slope * p[0] * (1 - p[0])
    assert gradient[0, 0].item() == pytest.approx(want.item(), abs=1e-12)
    assert gradient[0, 0].item() == pytest.approx(0.06, abs=0.01)


def test_targets_over_many_visits_are_the_authors():
    targets = theirs = torch.zeros(5, 4, dtype=torch.float64)
    for visit in range(20):
        logits = random(3, 4, seed=visit, scale=8.0)
        rows = torch.randperm(5, generator=torch.Generator().manual_seed(visit))[:3]
        y = torch.zeros(3, dtype=torch.long)
        _, _, theirs = value_and_gradient(authors_loss, logits, y, theirs, rows, 0.9, 1.0)
        _, _, targets = value_and_gradient(ours, logits, y, targets, rows, 0.9, 1.0)
    torch.testing.assert_close(targets, theirs, rtol=1e-12, atol=1e-15)
    assert not targets.requires_grad
    assert (targets.sum(-1) < 1).all(), "a young target is not normalised"


def test_the_gradient_is_lemma_2():
    z = random(6, 10, seed=3, scale=1.0).requires_grad_()
    y, t, lam = torch.arange(6), 0.9 * random(6, 10, seed=4, scale=1.0).softmax(-1), 3.0
    elr.elr_loss(z, y, t, lam).sum().backward()
    p = z.detach().softmax(-1)
    for i in range(6):
        inner = float(p[i] @ t[i])
        for c in range(10):
            g = p[i, c] / (1 - inner) * sum((t[i, k] - t[i, c]) * p[i, k] for k in range(10))
            want = p[i, c] - int(c == int(y[i])) + lam * g
            assert z.grad[i, c].item() == pytest.approx(float(want), abs=1e-12)


def test_the_kl_pull_has_its_closed_gradient():
    z = random(6, 10, seed=5).requires_grad_()
    y, t = torch.arange(6), 0.6 * random(6, 10, seed=6).softmax(-1)
    value = elr.kl_loss(z, y, t, 5.0)
    p = z.detach().softmax(-1)
    naive = [-math.log(p[i, i]) - 5 * sum(float(t[i, c]) * math.log(p[i, c]) for c in range(10)) for i in range(6)]
    assert value.tolist() == pytest.approx(naive, rel=1e-12)
    value.sum().backward()
    want = p - torch.nn.functional.one_hot(y, 10) + 5 * (p * t.sum(-1, keepdim=True) - t)
    torch.testing.assert_close(z.grad, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_generalised_cross_entropy_is_its_definition(q):
    z, y = random(8, 5, seed=7).requires_grad_(), torch.arange(8) % 5
    value = elr.gce_loss(z, y, None, q)
    p = z.softmax(-1)[torch.arange(8), y]
    torch.testing.assert_close(value, (1 - p**q) / q, rtol=1e-12, atol=1e-14)
    (ours_grad,) = torch.autograd.grad(value.sum(), z, retain_graph=True)
    (naive_grad,) = torch.autograd.grad(((1 - p**q) / q).sum(), z)
    torch.testing.assert_close(ours_grad, naive_grad, rtol=1e-10, atol=1e-12)


def test_the_losses_stay_finite_where_the_network_is_sure():
    z = torch.tensor([[800.0, 0, 0], [-800.0, 0, 0], [0.0, 0, 0]], requires_grad=True)
    y = torch.tensor([1, 0, 2])
    t = z.detach().softmax(-1)
    for loss in (
        lambda: elr.elr_loss(z, y, t, 10.0),
        lambda: elr.kl_loss(z, y, t, 10.0),
        lambda: elr.gce_loss(z, y, t, 0.7),
    ):
        value = loss()
        (gradient,) = torch.autograd.grad(value.sum(), z)
        assert value.isfinite().all() and gradient.isfinite().all()


def test_one_class_has_nothing_to_learn():
    z, y, t = torch.zeros(2, 1, requires_grad=True), torch.zeros(2, dtype=torch.long), torch.ones(2, 1)
    elr.elr_loss(z, y, t, 3.0).sum().backward()
    assert (z.grad == 0).all()


def test_networks_side_by_side_get_the_gradient_that_they_get_alone():
    z, t = random(3, 4, 5, seed=8), 0.5 * random(3, 4, 5, seed=9).softmax(-1)
    y = torch.arange(12).view(3, 4) % 5
    together = z.clone().requires_grad_()
    elr.elr_loss(together, y, t, 3.0).mean(-1).sum().backward()
    for s in range(3):
        alone = z[s].clone().requires_grad_()
        elr.elr_loss(alone, y[s], t[s], 3.0).mean().backward()
        torch.testing.assert_close(together.grad[s], alone.grad, rtol=1e-12, atol=1e-14)


def test_a_training_step_moves_the_network_and_only_the_visited_targets():
    net = torch.nn.Linear(3, 4)
    before, targets, rows = net.weight.detach().clone(), torch.zeros(6, 4), torch.tensor([1, 4])
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    x, y = torch.eye(3)[:2], torch.tensor([0, 3])
    with torch.no_grad():
        first = net(x).softmax(-1)
    elr.training_step(net, optimizer, x, y, targets, rows, lambda z, y, t: elr.elr_loss(z, y, t, 3.0), 0.7)
    torch.testing.assert_close(targets[rows], 0.3 * first)
    assert (targets[[0, 2, 3, 5]] == 0).all() and not torch.equal(net.weight, before)


def test_shares_of_nothing_and_of_everything():
    hits = torch.tensor([[True, False, True], [False, False, False]])
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert elr.share(hits, ~none).tolist() == pytest.approx([200 / 3, 0.0])
    assert np.isnan(elr.share(hits, none)).all()
    assert elr.share(hits, hits)[0] == 100.0


def clouds(n=150, wrong_every=7):
    g = np.random.default_rng(0)
    y = np.arange(n) % 3
    given = np.where(np.arange(n) % wrong_every == 0, (y + 1) % 3, y)
    return 2 * np.eye(3)[y] + g.normal(scale=0.6, size=(n, 3)), y, given


def test_wrong_labels_in_three_clouds_are_found():
    x, y, given = clouds()
    predict, flagged, named, sure = elr.train_elr(x, given, epochs=40)
    wrong = given != y
    assert flagged[wrong].mean() > 0.8 and flagged[~wrong].mean() < 0.1
    assert (named == y).mean() > (given == y).mean() and ((sure > 0) & (sure <= 1)).all()
    again = elr.train_elr(x.reshape(150, 3, 1), given, epochs=40)
    assert all(np.array_equal(a, b) for a, b in zip((flagged, named, sure), again[1:]))
    assert (predict(x) == y).mean() > 0.9 and (again[0](x[:5].reshape(5, 3, 1)) == predict(x)[:5]).all()
    with pytest.raises(ValueError, match="as the others"):
        predict(x[:, :2])
    words = np.array(["hat", "boot", "coat"])
    predict, flagged, named, _ = elr.train_elr(x.tolist(), words[given], epochs=40)
    assert (named == words[y]).mean() > (given == y).mean() and (predict(x) == words[y]).mean() > 0.9
    assert flagged[wrong].mean() > 0.8


def test_two_rows_and_a_constant_column_are_enough():
    _, flagged, named, sure = elr.train_elr([[1.0, 5.0], [2.0, 5.0]], [0, 1], epochs=1)
    assert flagged.shape == named.shape == sure.shape == (2,) and np.isfinite(sure).all()


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([[0.0], [1.0]], [0], "one label a row"),
        (np.zeros((0, 2)), [], "one row an example"),
        ([[0.0], [1.0]], [0.0, 0.5], "whole numbers"),
        ([[0.0], [1.0]], [None, 1], "none of them missing"),
        ([[0.0], [1.0]], [1, 1], "two classes"),
        ([[0.0], [math.nan]], [0, 1], "missing or infinite"),
        ([[0.0], [math.inf]], [0, 1], "missing or infinite"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_words(x, y, says):
    with pytest.raises(ValueError, match=says):
        elr.train_elr(x, y)


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {
    "images": "32 x 32 colour", "network": "ResNet-18", "n_train": 20, "n_val": 10, "n_test": 10, "batch": 10,
    "epochs": 1, "lr_drops_after": (0, 1), "elr_lambdas": (3,), "gce_powers": (), "ce_decays": (1e-3,),
    "kl_lambdas": (), "other_rates": (), "other_betas": (), "slow": None,
}  # fmt: skip


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cifar10": cifar_files(rows=90), "cifar10n": cifar_human_files(rng, rows=90)}
