"""Representation calibration: its pieces against naive loops, scikit-learn and closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor
from torch.nn import functional as F

from tests.conftest import definitions

rcal = definitions("rcal")


def unit(*shape, seed):
    g = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=g, dtype=torch.float64), dim=-1)


def test_the_contrastive_loss_is_the_naive_loop():
    q, k, queue = unit(2, 5, 8, seed=0), unit(2, 5, 8, seed=1), unit(2, 7, 8, seed=2)
    naive = []
    for s in range(2):
        losses = []
        for i in range(5):
            own = math.exp(float(q[s, i] @ k[s, i]) / 0.3)
            others = sum(math.exp(float(q[s, i] @ queue[s, j]) / 0.3) for j in range(7))
            losses.append(-math.log(own / (own + others)))
        naive.append(sum(losses) / 5)
    assert rcal.info_nce(q, k, queue, 0.3).tolist() == pytest.approx(naive, rel=1e-12)


@pytest.mark.parametrize("neighbours", [3, 20])
def test_local_outlier_factor_is_scikit_learns(neighbours):
    z = np.random.default_rng(0).normal(size=(60, 6))
    z[:4] += 5
    peer = LocalOutlierFactor(n_neighbors=neighbours).fit(z).negative_outlier_factor_
    ours = rcal.local_outlier_factor(torch.from_numpy(z), neighbours).numpy()
    np.testing.assert_allclose(ours, -peer, rtol=1e-6)


def test_inliers_drop_the_share_of_each_class_that_scikit_learn_finds_most_outlying():
    g = np.random.default_rng(1)
    z, y = g.normal(size=(90, 4)), np.repeat([0, 1, 2], [50, 37, 3])
    keep = rcal.inliers(torch.from_numpy(z), torch.from_numpy(y), 3, share=0.3, k=20).numpy()
    for c, n, k in ((0, 50, 20), (1, 37, 18)):
        factor = LocalOutlierFactor(n_neighbors=k).fit(z[y == c]).negative_outlier_factor_
        worst = np.zeros(n, bool)
        worst[np.argsort(factor)[: int(0.3 * n)]] = True
        assert (keep[y == c] == ~worst).all()
    assert keep[y == 2].all(), "classes too small to judge keep all their points"


def test_class_statistics_are_numpys_over_the_kept_points():
    g = np.random.default_rng(2)
    z, y, keep = g.normal(size=(40, 3)), np.arange(40) % 3, g.random(40) < 0.7
    means, covs, counts = rcal.class_statistics(*map(torch.from_numpy, (z, y, keep)), 4)
    for c in range(3):
        points = z[(y == c) & keep]
        np.testing.assert_allclose(means[c], points.mean(0))
        np.testing.assert_allclose(covs[c], np.cov(points.T), rtol=1e-5, atol=1e-6)
    assert counts.tolist() == [14, 13, 13, 0]
    np.testing.assert_allclose(means[3], z.mean(0))  # an empty class falls back on the whole


def test_borrowing_is_the_naive_mixture_and_leaves_heads_alone():
    g = torch.Generator().manual_seed(3)
    means, root = torch.randn(5, 3, generator=g), torch.randn(5, 3, 3, generator=g)
    covs, counts = root @ root.transpose(1, 2), torch.tensor([100, 80, 60, 10, 5])
    new_means, new_covs = rcal.borrow(means, covs, counts, q=2, gamma_mean=0.2, gamma_cov=0.6)
    assert torch.equal(new_means[:3], means[:3]) and torch.equal(new_covs[:3], covs[:3])
    for c in (3, 4):
        near = sorted(range(3), key=lambda h: float((means[h] - means[c]).norm()))[:2]
        total = sum(int(counts[h]) for h in near)
        mean = sum(int(counts[h]) / total * means[h] for h in near)
        cov = sum(int(counts[h]) / total * covs[h] for h in near)
        torch.testing.assert_close(new_means[c], 0.2 * mean + 0.8 * means[c])
        torch.testing.assert_close(new_covs[c], 0.6 * cov + 0.4 * covs[c])


@pytest.mark.parametrize("n_max, imbalance", [(145, 10), (5000, 100), (500, 10), (20, 4), (30, 1)])
def test_long_tail_counts_follow_the_formula(n_max, imbalance):
    counts = rcal.long_tail_counts(n_max, imbalance, 10).tolist()
    for k, n in enumerate(counts):
        assert abs(n - n_max * imbalance ** (-k / 9)) <= 0.5 + 1e-3 * n_max / 100
    assert counts[0] == n_max and abs(counts[-1] - n_max / imbalance) <= 0.5
    assert counts == sorted(counts, reverse=True)


def test_long_tail_rows_have_these_counts_and_disjoint_parts():
    y = torch.arange(200) % 4
    counts = rcal.long_tail_counts(30, 10, 4)
    rows = rcal.long_tail_rows(y, counts)
    more = rcal.long_tail_rows(y, rcal.long_tail_counts(10, 10, 4), skip=counts)
    assert torch.bincount(y[rows]).tolist() == counts.tolist() == [30, 14, 6, 3]
    assert not set(rows.tolist()) & set(more.tolist())
    with pytest.raises(ValueError, match="too few"):
        rcal.long_tail_rows(y, torch.tensor([51, 1, 1, 1]))


def test_the_papers_noise_has_its_transition_probabilities():
    counts = torch.tensor([60_000, 30_000, 10_000])
    y = torch.repeat_interleave(torch.arange(3), counts)
    noisy = rcal.proportional_noise(y, 0.4, torch.Generator().manual_seed(4))
    share = counts / counts.sum()
    for k in range(3):
        seen = torch.bincount(noisy[y == k], minlength=3) / counts[k]
        want = 0.4 * share
        want[k] = 1 - 0.4 * (1 - share[k])
        assert (seen - want).abs().max() < 0.02


def test_drawn_points_fill_up_the_classes_and_have_their_moments():
    g = torch.Generator().manual_seed(5)
    means, root = torch.randn(3, 2, generator=g), torch.randn(3, 2, 2, generator=g)
    covs = root @ root.transpose(1, 2)
    points, y = rcal.draw(means, covs, torch.tensor([90, 20, 10]), 40_000, g, spread=0.0)
    assert torch.bincount(y, minlength=3).tolist() == pytest.approx([0, 40_000 * 70 / 150, 40_000 * 80 / 150], abs=500)
    for c in (1, 2):
        assert (points[y == c].mean(0) - means[c]).abs().max() < 0.05
        assert (torch.cov(points[y == c].T) - covs[c]).abs().max() < 0.05 * covs[c].abs().max()
    spread = rcal.draw(means, 0 * covs + torch.eye(2), torch.tensor([90, 20, 10]), 40_000, g, spread=0.5)
    assert torch.cov((spread[0] - means[spread[1]]).T).diagonal().tolist() == pytest.approx([1.5, 1.5], abs=0.05)
