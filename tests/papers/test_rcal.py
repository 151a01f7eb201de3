"""Representation calibration: its pieces against naive loops, scikit-learn, the authors' formulas and closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor
from torch.nn import functional as F

from shared import stack
from tests.conftest import definitions
from tests.test_full_data import cifar_files

rcal = definitions("rcal")


def stream(seed):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=stream(seed), dtype=torch.float64), dim=-1)


# -- stage 1


def test_the_contrastive_loss_and_its_gradient_are_the_naive_loops():
    q, k, queue = unit(2, 5, 8, seed=0), unit(2, 5, 8, seed=1), unit(2, 7, 8, seed=2)
    q.requires_grad_()
    naive, gradient = [], torch.zeros_like(q)
    for s in range(2):
        losses = []
        for i in range(5):
            keys = torch.stack([k[s, i], *queue[s]])
            odds = torch.stack([torch.exp(q[s, i].detach() @ key / 0.3) for key in keys])
            share = odds / odds.sum()
            losses.append(-math.log(share[0]))
            gradient[s, i] = (share @ keys - keys[0]) / 0.3 / 5  # of the mean over five queries
        naive.append(sum(losses) / 5)
    ours = rcal.info_nce(q, k, queue, 0.3)
    assert ours.tolist() == pytest.approx(naive, rel=1e-12)
    ours.sum().backward()
    torch.testing.assert_close(q.grad, gradient)


def test_a_query_without_its_key_and_a_temperature_of_zero_are_refused():
    q, queue = unit(2, 5, 8, seed=0), unit(2, 7, 8, seed=2)
    with pytest.raises(ValueError, match="one key"):
        rcal.info_nce(q, q[:, :4], queue, 0.3)
    with pytest.raises(ValueError, match="above zero"):
        rcal.info_nce(q, q, queue, 0.0)


# -- stage 2


@pytest.mark.parametrize("neighbours", [3, 20])
def test_local_outlier_factor_is_scikit_learns(neighbours):
    z = np.random.default_rng(0).normal(size=(60, 6))
    z[:4] += 5
    peer = LocalOutlierFactor(n_neighbors=neighbours).fit(z).negative_outlier_factor_
    ours = rcal.local_outlier_factor(torch.from_numpy(z), neighbours).numpy()
    np.testing.assert_allclose(ours, -peer, rtol=1e-6)


def test_outlier_factors_on_a_ring_and_of_equal_points_are_one():
    angle = torch.arange(12.0, dtype=torch.float64) * (2 * math.pi / 12)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    torch.testing.assert_close(rcal.local_outlier_factor(ring, 2), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(rcal.local_outlier_factor(torch.ones(5, 3), 2), torch.ones(5))
    torch.testing.assert_close(rcal.local_outlier_factor(torch.eye(2), 9), torch.ones(2))


@pytest.mark.parametrize("z", [torch.ones(1, 3), torch.full((5, 3), math.nan), torch.tensor([[math.inf], [0.0]])])
def test_outlier_factors_of_one_point_or_of_points_without_a_place_are_refused(z):
    with pytest.raises(ValueError, match="two points"):
        rcal.local_outlier_factor(z, 2)


def test_inliers_drop_the_share_of_each_class_that_scikit_learn_finds_most_outlying():
    g = np.random.default_rng(1)
    z, y = g.normal(size=(90, 4)), np.repeat([0, 1, 2], [50, 37, 3])
    keep = rcal.inliers(torch.from_numpy(z), torch.from_numpy(y), 3, share=0.3).numpy()
    for c, n, k in ((0, 50, 20), (1, 37, 18)):
        factor = LocalOutlierFactor(n_neighbors=k).fit(z[y == c]).negative_outlier_factor_
        worst = np.zeros(n, bool)
        worst[np.argsort(factor)[: int(0.3 * n)]] = True
        assert (keep[y == c] == ~worst).all()
    assert keep[y == 2].all(), "classes too small to judge keep all their points"
    assert rcal.inliers(torch.from_numpy(z), torch.from_numpy(y), 3, share=0.0).all()


def test_the_guessed_share_is_that_of_points_outvoted_by_ten_neighbours():
    g = np.random.default_rng(2)
    z = np.concatenate([g.normal(size=(40, 3)), g.normal(size=(30, 3)) + 4])
    y = np.repeat([0, 1], [40, 30])
    y[::7] = 1 - y[::7]
    outvoted = 0
    for i in range(70):
        near = np.argsort(np.linalg.norm(z - z[i], axis=1))[1:11]
        outvoted += np.bincount(y[near], minlength=2).argmax() != y[i]
    guessed = rcal.inliers(torch.from_numpy(z), torch.from_numpy(y), 2)
    given = rcal.inliers(torch.from_numpy(z), torch.from_numpy(y), 2, share=min(0.5, outvoted / 70))
    assert torch.equal(guessed, given) and not guessed.all()


def test_class_statistics_are_numpys():
    g = np.random.default_rng(2)
    z, y = g.normal(size=(40, 3)), np.arange(40) % 3
    y[0] = 4
    means, covs = rcal.class_statistics(torch.from_numpy(z), torch.from_numpy(y), 5)
    for c in range(3):
        np.testing.assert_allclose(means[c], z[y == c].mean(0))
        np.testing.assert_allclose(covs[c], np.cov(z[y == c].T), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(means[3], z.mean(0))  # an empty class falls back on the whole
    np.testing.assert_allclose(means[4], z[0])
    assert (covs[3:] == 0).all(), "one point has no covariance, and no point neither"


def gaussians(seed, classes=5, d=3):
    g = stream(seed)
    means, root = torch.randn(classes, d, generator=g), torch.randn(classes, d, d, generator=g)
    return means, root @ root.transpose(1, 2)


def test_borrowing_is_the_papers_formula():
    means, covs = gaussians(3)
    counts = torch.tensor([100, 80, 60, 10, 5])
    new_means, new_covs = rcal.borrow(means, covs, counts, q=2, gamma=0.3, alpha=0.05)
    assert torch.equal(new_means[:3], means[:3]) and torch.equal(new_covs[:3], covs[:3]), "head classes keep theirs"
    for k in (3, 4):
        far = [float(((means[c] - means[k]) ** 2).sum()) for c in range(3)]
        near = sorted(range(3), key=lambda c, far=far: far[c])[:2]
        total = sum(int(counts[c]) * far[c] for c in near)
        omega = [int(counts[c]) * far[c] / total for c in near]
        mean = sum(w * means[c] for w, c in zip(omega, near))
        cov = sum(w * covs[c] for w, c in zip(omega, near))
        torch.testing.assert_close(new_means[k], 0.3 * mean + 0.7 * means[k])
        torch.testing.assert_close(new_covs[k], 0.3 * cov + 0.7 * covs[k] + 0.05 * torch.ones(3, 3))


def test_borrowing_at_its_edges():
    means, covs = gaussians(4)
    counts = torch.tensor([100, 80, 60, 10, 5])
    same = rcal.borrow(means, covs, counts, gamma=0.0, alpha=0.0)
    torch.testing.assert_close(same, (means, covs))
    balanced = rcal.borrow(means, covs, torch.full((5,), 7))
    torch.testing.assert_close(balanced, (means, covs))  # no head, no tail
    alike = rcal.borrow(torch.zeros_like(means), covs, counts)
    assert all(torch.isfinite(part).all() for part in alike), "equal means give no weights"
    more = rcal.borrow(means, covs, counts, q=50), rcal.borrow(means, covs, counts, q=3)
    torch.testing.assert_close(*more)
    one = rcal.borrow(means[:1], covs[:1], torch.tensor([9]))
    torch.testing.assert_close(one, (means[:1], covs[:1]))


def test_drawn_points_fill_up_the_classes_and_have_their_moments():
    means, covs = gaussians(5, 3, 2)
    points, y = rcal.draw(means, covs, torch.tensor([90, 20, 10]), 40_000, stream(6))
    assert torch.bincount(y, minlength=3).tolist() == pytest.approx([0, 40_000 * 70 / 150, 40_000 * 80 / 150], abs=500)
    for c in (1, 2):
        assert (points[y == c].mean(0) - means[c]).abs().max() < 0.05
        assert (torch.cov(points[y == c].T) - covs[c]).abs().max() < 0.05 * covs[c].abs().max()


def test_drawing_at_its_edges():
    means, covs = gaussians(7, 3, 2)
    flat = torch.zeros_like(covs)
    points, y = rcal.draw(means, flat, torch.tensor([90, 20, 10]), 50, stream(8))
    torch.testing.assert_close(points, means[y])  # singular: every point is the mean
    _, y = rcal.draw(means, covs, torch.tensor([90, 0, 10]), 50, stream(8))
    assert set(y.tolist()) == {2}, "no points for a class that no label names"
    _, y = rcal.draw(means, covs, torch.tensor([9, 9, 9]), 300, stream(8))
    assert set(y.tolist()) == {0, 1, 2}, "balanced classes all get some"
    points, y = rcal.draw(means[:1], covs[:1], torch.tensor([9]), 10, stream(8))
    assert y.tolist() == [0] * 10 and torch.isfinite(points).all()


# -- stage 3 and the rivals


def test_mixup_is_the_naive_mixture():
    x, partner = torch.randn(2, 4, 1, 3, 3, generator=stream(9)), torch.tensor([[1, 0, 3, 2], [3, 2, 1, 0]])
    weight = torch.tensor([0.3, 1.0])
    mixed = rcal.mixup(x, weight, partner)
    for i in range(4):
        torch.testing.assert_close(mixed[0, i], 0.3 * x[0, i] + 0.7 * x[0, partner[0, i]])
    assert torch.equal(mixed[1], x[1])


def test_the_training_step_is_the_papers_loss():
    """CE(mixed) + CE(drawn) + beta |f(x) - z0|^2 for each seed: the weights after one step of plain descent."""
    S, B, d, classes, beta, lr = 2, 4, 3, 5, 0.7, 0.1
    encoder, classifier = stack.Linears(6, d, range(S), "encoder"), stack.Linears(d, classes, range(S), "head")
    g = stream(10)
    x_mixed, x = torch.randn(2, S, B, 6, generator=g)
    z_drawn, z0 = torch.randn(2, S, B, d, generator=g)
    y_mixed, y_drawn = torch.rand(2, S, B, classes, generator=g).softmax(-1)
    expected = []
    for s in range(S):
        f, h = encoder.alone(s), classifier.alone(s)
        loss = 0.0
        for i in range(B):
            loss = loss - (y_mixed[s, i] * h(f(x_mixed[s, i])).log_softmax(0)).sum() / B
            loss = loss - (y_drawn[s, i] * h(z_drawn[s, i]).log_softmax(0)).sum() / B
            loss = loss + beta * ((f(x[s, i]) - z0[s, i]) ** 2).sum() / B
        loss.backward()
        expected.append([p.detach() - lr * p.grad for p in (f.weight, h.weight, f.bias, h.bias)])
    optimizer = torch.optim.SGD([*encoder.parameters(), *classifier.parameters()], lr)
    rcal.training_step(encoder, classifier, optimizer, (x_mixed, y_mixed), (z_drawn, y_drawn), (x, z0), beta)
    for s in range(S):
        f, h = encoder.alone(s), classifier.alone(s)
        for ours, theirs in zip((f.weight, h.weight, f.bias, h.bias), expected[s]):
            torch.testing.assert_close(ours.detach(), theirs, rtol=1e-4, atol=1e-6)


def test_the_plain_step_adds_the_log_prior_to_the_logits():
    encoder, classifier = stack.Linears(6, 3, range(2), "encoder"), stack.Linears(3, 5, range(2), "head")
    g = stream(11)
    x, y = torch.randn(2, 4, 6, generator=g), torch.rand(2, 4, 5, generator=g).softmax(-1)
    prior = torch.rand(2, 1, 5, generator=g).log()
    f, h = encoder.alone(1), classifier.alone(1)
    loss = -(y[1] * (h(f(x[1])) + prior[1]).log_softmax(-1)).sum(-1).mean()
    loss.backward()
    optimizer = torch.optim.SGD([*encoder.parameters(), *classifier.parameters()], 0.1)
    rcal.baseline_step(encoder, classifier, optimizer, (x, y), prior)
    torch.testing.assert_close(classifier.alone(1).weight, h.weight - 0.1 * h.weight.grad, rtol=1e-4, atol=1e-6)


def test_label_aware_smoothing_is_the_authors_formula():
    """Their concave shape: eps_y = eps sin(pi (n_y - n_min) / 2 (n_max - n_min)), spread over all classes."""
    g = stream(12)
    logits = torch.randn(1, 6, 4, generator=g, dtype=torch.float64).requires_grad_()
    y, counts = torch.tensor([[0, 1, 2, 3, 0, 2]]), torch.tensor([[50.0, 30.0, 8.0, 5.0]])
    ours = rcal.label_aware_smoothing(logits, y, counts, 0.3)
    log_p = logits.detach()[0] - logits.detach()[0].exp().sum(1, keepdim=True).log()
    naive, gradient = 0.0, torch.zeros(6, 4, dtype=torch.float64)
    for i, label in enumerate(y[0].tolist()):
        eps = 0.3 * math.sin(math.pi * (float(counts[0, label]) - 5) / (2 * (50 - 5)))
        target = torch.full((4,), eps / 4, dtype=torch.float64)
        target[label] += 1 - eps
        naive -= float((target * log_p[i]).sum()) / 6
        gradient[i] = (log_p[i].exp() - target) / 6
    assert ours.tolist() == pytest.approx([naive], rel=1e-6)
    ours.sum().backward()
    torch.testing.assert_close(logits.grad[0], gradient, rtol=1e-6, atol=1e-8)
    even = rcal.label_aware_smoothing(logits, y, torch.full((1, 4), 9.0), 0.3)
    torch.testing.assert_close(even[0], F.cross_entropy(logits[0], y[0]))  # nothing to smooth


# -- data and measures


@pytest.mark.parametrize("n_max, imbalance", [(145, 10), (5000, 100), (500, 10), (20, 4), (30, 1)])
def test_long_tail_counts_follow_the_formula(n_max, imbalance):
    counts = rcal.long_tail_counts(n_max, imbalance, 10).tolist()
    for k, n in enumerate(counts):
        assert abs(n - n_max * imbalance ** (-k / 9)) <= 0.5 + 1e-3 * n_max / 100
    assert counts[0] == n_max and abs(counts[-1] - n_max / imbalance) <= 0.5
    assert counts == sorted(counts, reverse=True)


def test_long_tails_at_their_edges():
    assert rcal.long_tail_counts(5, 100, 3).tolist() == [5, 1, 1], "no class is empty"
    for n_max, imbalance, classes in ((5, 10, 1), (5, 0.5, 3), (0, 10, 3)):
        with pytest.raises(ValueError, match="long tail"):
            rcal.long_tail_counts(n_max, imbalance, classes)


def test_long_tail_rows_have_these_counts_and_disjoint_parts():
    y = torch.arange(200) % 4
    counts = rcal.long_tail_counts(30, 10, 4)
    rows = rcal.long_tail_rows(y, counts, 0 * counts)
    more = rcal.long_tail_rows(y, rcal.long_tail_counts(10, 10, 4), counts)
    assert torch.bincount(y[rows]).tolist() == counts.tolist() == [30, 14, 6, 3]
    assert not set(rows.tolist()) & set(more.tolist())
    with pytest.raises(ValueError, match="too few"):
        rcal.long_tail_rows(y, torch.tensor([51, 1, 1, 1]), torch.zeros(4, dtype=torch.long))


def test_the_papers_noise_has_its_transition_probabilities():
    counts = torch.tensor([60_000, 30_000, 10_000])
    y = torch.repeat_interleave(torch.arange(3), counts)
    noisy = rcal.proportional_noise(y, 0.4, stream(4))
    share = counts / counts.sum()
    for k in range(3):
        seen = torch.bincount(noisy[y == k], minlength=3) / counts[k]
        want = 0.4 * share
        want[k] = 1 - 0.4 * (1 - share[k])
        assert (seen - want).abs().max() < 0.02


def test_noise_at_its_edges():
    y = torch.arange(2000) % 4
    assert torch.equal(rcal.proportional_noise(y, 0.0, stream(0)), y)
    all_redrawn = rcal.proportional_noise(y, 1.0, stream(0))
    assert float((all_redrawn == y).float().mean()) == pytest.approx(0.25, abs=0.05)
    assert torch.equal(rcal.proportional_noise(0 * y, 1.0, stream(0)), 0 * y), "one class has no other"
    for labels, rate in ((y, -0.1), (y, 1.1), (y, math.nan), (y[:0], 0.4)):
        with pytest.raises(ValueError, match="labels and a rate"):
            rcal.proportional_noise(labels, rate, stream(0))


def test_balanced_accuracy_is_the_mean_over_classes_and_names_a_missing_one():
    predicted, y = torch.tensor([[0, 0, 1, 2, 2]]), torch.tensor([[0, 0, 0, 1, 2]])
    by_class = rcal.class_accuracy(predicted, y, 3)
    np.testing.assert_allclose(by_class, [[200 / 3, 0, 100]], rtol=1e-6)
    np.testing.assert_allclose(rcal.balanced(by_class), [500 / 9], rtol=1e-6)
    missing = rcal.class_accuracy(predicted, y, 4)
    assert np.isnan(missing[0, 3])
    with pytest.raises(ValueError, match="no test example"):
        rcal.balanced(missing)


def test_the_readers_function_finds_blobs_behind_wrong_and_rare_labels():
    rng = np.random.default_rng(13)
    centres = 4 * np.eye(3)
    true = np.repeat([0, 1, 2], (150, 50, 15))
    given = np.where(rng.random(215) < 0.3, rng.permutation(true), true)
    z = centres[true] + rng.normal(size=(215, 3))
    assert rcal.calibrated_predictions(z, given, centres).tolist() == [0, 1, 2]


def test_own_data_takes_words_and_refuses_what_it_cannot_read():
    rng = np.random.default_rng(0)
    z = np.repeat([[0.0, 0.0], [9.0, 0.0]], 30, 0) + rng.normal(size=(60, 2))
    words = np.repeat(["cat", "dog"], 30)
    new = [[0.0, 0.0], [9.0, 0.0]]
    assert rcal.calibrated_predictions(z.tolist(), words, new, steps=50).tolist() == ["cat", "dog"]
    for bad, y, bad_new, why in (
        (z, words[:9], new, "one label a row"),
        (z, ["cat"] * 60, new, "two classes"),
        (np.where(z == z[0, 0], np.nan, z), words, new, "missing or infinite"),
        (z, words, [[0.0]], "as the others"),
    ):
        with pytest.raises(ValueError, match=why):
            rcal.calibrated_predictions(bad, y, bad_new)


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {"hidden": ("ResNet-18", 512), "n_max": (8, 8), "n_max_val": 3, "batch": 16, "features": 64}
LIGHT = True  # a few layers stand in for the ResNet-18


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cifar10": cifar_files(rows=90)}
