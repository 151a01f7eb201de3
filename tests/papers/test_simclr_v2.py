"""SimCLRv2's losses and head against the authors' formulas, a peer library and naive versions; edges."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.conftest import definitions
from tests.test_full_data import cifar_files


@pytest.fixture(scope="module")
def book():
    found = definitions("simclr_v2")
    settings = SimpleNamespace(network="3 conv layers", head_out=5)
    found.make_encoder.__globals__.update(cfg=settings, device=torch.device("cpu"))
    return found


def pair(n=9, d=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=g, dtype=torch.float64).requires_grad_()


def authors_contrastive_loss(hidden, temperature):
    """The released objective in numpy's words: two blocks of logits, masked by 1e9, the sum of two means."""
    a, b = F.normalize(hidden, dim=-1)
    mask = torch.eye(len(a), dtype=a.dtype) * 1e9
    aa, bb = a @ a.T / temperature - mask, b @ b.T / temperature - mask
    ab, ba = a @ b.T / temperature, b @ a.T / temperature
    labels = torch.arange(len(a))
    return F.cross_entropy(torch.cat([ab, aa], 1), labels) + F.cross_entropy(torch.cat([ba, bb], 1), labels)


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_contrastive_loss_is_the_authors(book, tau):
    """Value and gradient; their sum of two means is twice the mean over all views."""
    z = pair()
    ours = book.nt_xent(z[0], z[1], tau)
    theirs = authors_contrastive_loss(z, tau) / 2
    assert torch.isclose(ours, theirs, rtol=1e-12)
    gradients = [torch.autograd.grad(loss, z)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12) and gradients[0].abs().sum(-1).min() > 0


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_nt_xent_is_lightlys(book, tau):
    from lightly.loss import NTXentLoss

    z1, z2 = pair().detach()
    assert torch.isclose(book.nt_xent(z1, z2, tau), NTXentLoss(temperature=tau)(z1, z2), rtol=1e-9)


def test_nt_xent_at_its_edges(book):
    z1, z2 = pair(1).detach()
    assert book.nt_xent(z1, z2, 0.2) == 0, "one image: its partner is the only candidate"
    with pytest.raises(ValueError, match="two views of the same images"):
        book.nt_xent(torch.ones(4, 3), torch.ones(3, 3), 0.2)
    for tau in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tau above 0"):
            book.nt_xent(torch.ones(4, 3), torch.ones(4, 3), tau)
    zero = torch.zeros(4, 3)
    assert torch.isclose(book.nt_xent(zero, zero, 0.2), torch.tensor(7.0).log()), "no direction: a blind guess"


@pytest.mark.parametrize("tau", [0.1, 1.0, 3.0])
def test_distillation_loss_is_the_authors(book, tau):
    """Cross entropy with the teacher's softened probabilities, weighted by the square of the temperature."""
    student, teacher = pair(7, 10).detach()
    student.requires_grad_()
    p = np.exp(teacher.numpy() / tau)
    p /= p.sum(1, keepdims=True)
    scores = student.detach().numpy() / tau
    log_q = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    ours = book.distillation_loss(student, teacher, tau)
    assert np.isclose(ours.item(), -(tau**2) * (p * log_q).sum(1).mean(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(ours, student)
    assert np.allclose(gradient.numpy(), tau * (np.exp(log_q) - p) / len(p), atol=1e-12)


def test_distillation_leaves_a_student_equal_to_its_teacher_alone(book):
    logits = pair(4, 10)[0].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(book.distillation_loss(logits, logits.detach(), 0.1), logits)
    assert gradient.abs().max() < 1e-12


def test_head_has_the_authors_shape(book):
    """Three layers without offsets of their own, batch norm after each; the last has neither ReLU nor an offset."""
    net = book.SimCLR(3, torch.rand(8, 1, 14, 14))
    shapes = [tuple(layer[0].weight.shape) for layer in net.head]
    assert shapes == [(48, 48), (48, 48), (5, 48)] and net.features == 48
    assert all(layer[0].bias is None and isinstance(layer[1], torch.nn.BatchNorm1d) for layer in net.head)
    assert [len(layer) for layer in net.head] == [3, 3, 2]
    assert [layer[1].bias.requires_grad for layer in net.head] == [True, True, False]
    assert net.head[2][1].bias.abs().max() == 0


def test_a_classifier_starts_undecided_and_shares_nothing(book):
    x, y = torch.rand(8, 1, 14, 14), torch.arange(8)
    net = book.SimCLR(3, x)
    before = [p.clone() for p in net.parameters()]
    for layers in (0, 1, 2):
        model = book.Classifier(net, layers)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        assert math.isclose(loss.item(), math.log(10), rel_tol=1e-6)
        assert all(p.grad.abs().max() == 0 for p in model.body.parameters())
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))


def test_balanced_draws_every_class_alike(book):
    y = torch.arange(10).repeat(30)[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    rows = book.balanced(y, 50, torch.Generator().manual_seed(0))
    assert len(rows.unique()) == 50 and (torch.bincount(y[rows]) == 5).all()
    assert torch.equal(book.balanced(y, 300, torch.Generator()), torch.arange(300))
    for n in (5, 25):
        with pytest.raises(ValueError, match=f"{n} labels cannot be drawn evenly from 10 classes"):
            book.balanced(y, n, torch.Generator())
    with pytest.raises(ValueError, match="20 labels cannot be drawn evenly from 10 classes"):
        book.balanced(y[y != 3], 20, torch.Generator())  # a class without images
    assert len(book.balanced(torch.zeros(6).long(), 3, torch.Generator(), classes=1).unique()) == 3


@pytest.mark.parametrize("size", [0, 4])
def test_a_batch_that_does_not_fit_is_refused(book, size):
    """An endless stream of whole batches would have none to give, and wait for ever."""
    with pytest.raises(ValueError, match=f"A batch of {size} does not fit 3 images"):
        next(book.endless(3, size, torch.Generator()))


def test_the_camera_keeps_images_images(book):
    x = torch.rand(50, 1, 28, 28)
    taken = book.careless_camera(x, torch.Generator().manual_seed(0))
    assert taken.shape == x.shape and taken.min() >= 0 and taken.max() <= 1
    assert torch.equal(taken, book.careless_camera(x, torch.Generator().manual_seed(0)))
    black = torch.zeros(3, 1, 28, 28)
    assert book.careless_camera(black, torch.Generator()).abs().max() == 0


def test_own_data_refuses_what_it_cannot_read(book):
    images, y = torch.rand(6, 1, 14, 14), torch.tensor([0, 1, -1, -1, -1, -1])
    for bad, labels, why in (
        (images * 255, y, "images runs from"),
        (images * math.nan, y, "images has missing"),
        (images, y.clamp(max=0), "two classes"),
        (images, torch.full((6,), -1), "two classes"),
    ):
        with pytest.raises(ValueError, match=why):
            book.label_all(bad, labels)


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {"images": "32 x 32 colour", "network": "ResNet-18", "width_small": 8, "width_big": 16, "seeds_aside": None}
LIGHT = True  # a few layers stand in for the ResNet-18


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cifar10": cifar_files(rows=90)}
