"""Label corruptions. Each returns what it changed, so that a notebook can look at the damage."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def symmetric(y: torch.Tensor, rate: float, classes: int, generator: torch.Generator, include_true: bool = False):
    """Symmetric label noise.

    Args:
        y: (n,) whole-number true labels; n may be 0.
        rate: share of labels that are drawn anew, 0 to 1.
        classes: number of classes.
        generator: on the CPU.
        include_true: draw from all classes, the true one among them, so that only rate * (classes - 1) /
            classes of the labels change (the convention of much published code); else always a wrong one.

    Returns:
        y_noisy (n,), of the type of y, and changed (n,) bool, True where y_noisy differs from y. Exactly
        round(rate * n) labels are drawn anew.

    Raises:
        ValueError: rate outside [0, 1], fewer than two classes, labels outside 0..classes-1, labels that are no
            whole numbers or of another shape.
    """
    _check(y, rate, classes, "symmetric")
    drawn = torch.randperm(len(y), generator=generator)[: round(rate * len(y))]
    noisy = y.clone()
    if include_true:
        noisy[drawn] = torch.randint(classes, (len(drawn),), generator=generator).to(y)
    else:
        shift = torch.randint(1, classes, (len(drawn),), generator=generator).to(y)
        noisy[drawn] = (y[drawn] + shift) % classes
    return noisy, noisy != y


def pairs(y: torch.Tensor, rate: float, mapping: Mapping[int, int] | int, generator: torch.Generator):
    """Asymmetric noise: a share of each class takes the label of its look-alike.

    Args:
        y: (n,) whole-number true labels; n may be 0.
        rate: share of each class of `mapping` that changes, 0 to 1.
        mapping: {class: the class that it turns into}; other classes stay. Or a number K of classes, for k -> k + 1
            and K - 1 -> 0.
        generator: on the CPU.

    Returns:
        y_noisy (n,), of the type of y, and changed (n,) bool. Exactly round(rate * n_k) of the n_k labels of each
        class in `mapping` change.

    Raises:
        ValueError: as `symmetric`; a class that turns into itself.

    Source: G. Patrini and others, CVPR 2017, arXiv:1609.03683.
    """
    if isinstance(mapping, int):
        mapping = {k: (k + 1) % mapping for k in range(mapping)}
    if any(source == target for source, target in mapping.items()):
        raise ValueError(f"A class cannot turn into itself, in {dict(mapping)}.")
    _check(y, rate, max([1, *mapping, *mapping.values(), *(int(y.max()) for _ in y[:1])]) + 1, "pair")
    noisy = y.clone()
    for source, target in mapping.items():
        rows = (y == source).nonzero().squeeze(1)
        order = torch.randperm(len(rows), generator=generator)[: round(rate * len(rows))]
        noisy[rows[order.to(y.device)]] = target
    return noisy, noisy != y


def _check(y: torch.Tensor, rate: float, classes: int, kind: str) -> None:
    if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{kind} noise needs whole-number labels (n,), got {y.dtype} of shape {tuple(y.shape)}.")
    if not 0 <= rate <= 1 or classes < 2 or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes):
        raise ValueError(
            f"{kind} noise needs 0 <= rate <= 1, two classes or more and labels in 0..{classes - 1}, got rate {rate}."
        )
