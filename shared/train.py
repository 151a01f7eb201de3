"""Training and evaluation with the data on the device: batches are slices of tensors, nothing is loaded.

On a GPU: bf16 autocast, channels_last for images, fused optimizers. On the CPU the same code runs in float32.
No trainer: a notebook whose method is a training step writes that step itself and uses the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on the device; images (n, c, h, w) in channels_last there, which convolutions prefer."""
    if x.dim() == 4:
        return x.to(device, memory_format=torch.channels_last, non_blocking=True)
    return x.to(device, non_blocking=True)


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, its convolutions in channels_last."""
    return model.to(device, memory_format=torch.channels_last)


def autocast(device: torch.device):
    """bf16 autocast on cuda, nothing elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def sgd(parameters, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> torch.optim.SGD:
    """SGD, fused where the parameters lie on cuda."""
    parameters = list(parameters)
    fused = all(p.device.type == "cuda" for p in parameters)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)


def batches(
    n: int, size: int, generator: torch.Generator, device: torch.device | None = None
) -> Iterator[torch.Tensor]:
    """Index batches of one shuffled epoch.

    Args:
        n: rows. size: batch size; the last batch may be smaller.
        generator: on the CPU, so that every device sees the same order.
        device: where the indices shall lie.

    Yields:
        (b,) int64 indices.
    """
    order = torch.randperm(n, generator=generator)
    yield from (order if device is None else order.to(device)).split(size)


def flip_and_crop(x: torch.Tensor, generator: torch.Generator, pad: int = 4) -> torch.Tensor:
    """Random horizontal flip and random crop after reflection padding, one draw per image.

    Args:
        x: (b, c, h, w). generator: on the CPU. pad: pixels of padding on each side.

    Returns:
        (b, c, h, w), same dtype, device and memory format.
    """
    b, c, h, w = x.shape
    flip = torch.rand(b, generator=generator).lt(0.5).to(x.device)
    dy, dx = torch.randint(2 * pad + 1, (2, b, 1), generator=generator).to(x.device)
    padded = F.pad(x, (pad,) * 4, mode="reflect")
    columns = torch.arange(w, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(0), columns) + dx
    rows = torch.arange(h, device=x.device) + dy
    image = torch.arange(b, device=x.device)
    out = padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return out.permute(0, 3, 1, 2)


def fit(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int,
    batch: int,
    lr: float,
    generator: torch.Generator,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    loss=F.cross_entropy,
    after_epoch=None,
) -> nn.Module:
    """Plain supervised training with SGD, for baselines.

    Args:
        model: on the device of `x`. x: (n, ...) inputs. y: targets, as `loss(logits, y)` wants them.
        epochs, batch, lr, momentum, weight_decay: as usual.
        generator: draws the order, on the CPU.
        after_epoch: called with the epoch's number from 1 after each epoch.

    Returns:
        The model, trained in place.
    """
    optimizer = sgd(model.parameters(), lr, momentum, weight_decay)
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in batches(len(x), batch, generator, x.device):
            with autocast(x.device):
                value = loss(model(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
        if after_epoch is not None:
            after_epoch(epoch)
    return model


@torch.no_grad()
def predict(model: nn.Module, x: torch.Tensor, batch: int = 2000) -> torch.Tensor:
    """Logits (n, classes) in float32 for `x` (n, ...), the model in evaluation mode meanwhile."""
    training = model.training
    model.eval()
    with autocast(x.device):
        logits = torch.cat([model(part) for part in x.split(batch)]).float()
    model.train(training)
    return logits


def accuracy(logits: torch.Tensor, y: torch.Tensor) -> float:
    """Share of rows whose largest logit is the label, in percent."""
    return 100.0 * (logits.argmax(1) == y).float().mean().item()
