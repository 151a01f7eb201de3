"""Label corruptions. Each returns what it changed, so that a notebook can look at the damage."""

from __future__ import annotations

import torch


def symmetric(y: torch.Tensor, rate: float, classes: int, generator: torch.Generator, include_true: bool = False):
    """Symmetric label noise.

    Args:
        y: (n,) int64 true labels.
        rate: share of labels that are drawn anew, 0 to 1.
        classes: number of classes.
        generator: on the CPU.
        include_true: draw from all classes, the true one among them, so that only rate * (classes - 1) /
            classes of the labels change (the convention of much published code); else always a wrong one.

    Returns:
        y_noisy (n,) int64 and changed (n,) bool, True where y_noisy differs from y. Exactly round(rate * n)
        labels are drawn anew.

    Raises:
        ValueError: rate outside [0, 1], fewer than two classes, labels outside 0..classes-1.
    """
    if not 0 <= rate <= 1 or classes < 2 or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes):
        raise ValueError(f"symmetric noise needs 0 <= rate <= 1 and labels in 0..{classes - 1}, got rate {rate}.")
    drawn = torch.randperm(len(y), generator=generator)[: round(rate * len(y))]
    noisy = y.clone()
    if include_true:
        noisy[drawn] = torch.randint(classes, (len(drawn),), generator=generator)
    else:
        shift = torch.randint(1, classes, (len(drawn),), generator=generator)
        noisy[drawn] = (y[drawn] + shift) % classes
    return noisy, noisy != y
