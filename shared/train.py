"""Training and evaluation with the data on the device: batches are slices of tensors, nothing is loaded.

On a GPU: bf16 autocast, channels_last for images, fused optimizers. On the CPU the same code runs in float32.
No trainer: a notebook whose method is a training step writes that step itself and uses the pieces.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """The model on the device, its convolutions in channels_last (not those of networks side by side)."""
    if any(p.dim() == 5 for p in model.parameters()):  # torch has that layout for four axes
        return model.to(device)
    return model.to(device, memory_format=torch.channels_last)


def autocast(device: torch.device):
    """bf16 autocast on cuda, nothing elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def _on_cuda(parameters) -> bool:
    return all(p.device.type == "cuda" for p in parameters)


def sgd(parameters, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> torch.optim.SGD:
    """SGD, fused where the parameters lie on cuda."""
    parameters = list(parameters)
    fused = _on_cuda(parameters)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)


def adamw(
    parameters, lr: float, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), fused where the parameters lie on cuda."""
    parameters = list(parameters)
    return torch.optim.AdamW(parameters, lr, betas, weight_decay=weight_decay, fused=_on_cuda(parameters))


def cosine(step: int, steps: int, warmup: int = 0) -> float:
    """Factor of the learning rate: a linear rise to 1, then half a cosine down to 0.

    Args:
        step: from 0; steps - 1 is the last that trains, and at step == steps the factor is 0.
        steps: how many in all. warmup: steps of the rise: (step + 1) / warmup.

    Raises:
        ValueError: step outside 0..steps, warmup outside 0..steps, or no steps.

    Source: I. Loshchilov and F. Hutter, ICLR 2017, arXiv:1608.03983.
    """
    if not (steps >= 1 and 0 <= step <= steps and 0 <= warmup <= steps):
        raise ValueError(f"A cosine needs 0 <= step <= steps and 0 <= warmup <= steps, got {step}, {steps}, {warmup}.")
    if step < warmup:
        return (step + 1) / warmup
    if step == steps:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


class EMA:
    """Moving average of a network's parameters and buffers, or of a list of tensors.

    Args:
        source: a module, or tensors; it is copied. decay: from 0 (always the newest) to 1 (never moves).

    Attributes:
        average: the averaged copy, a module of the same class in evaluation mode, or a list; without gradients.
        decay: may be changed between updates, as for a warm-up.

    Source: A. Tarvainen and H. Valpola, NeurIPS 2017, arXiv:1703.01780.
    """

    def __init__(self, source: nn.Module | Iterable[torch.Tensor], decay: float = 0.999):
        if not 0 <= decay <= 1:
            raise ValueError(f"The decay of a moving average lies between 0 and 1, got {decay}.")
        self.decay = decay
        if isinstance(source, nn.Module):
            self.average = copy.deepcopy(source).requires_grad_(False).eval()
        else:
            self.average = [tensor.detach().clone() for tensor in source]

    @torch.no_grad()
    def update(self, source: nn.Module | Iterable[torch.Tensor]) -> None:
        """average <- decay * average + (1 - decay) * source; whole numbers, such as counters, are copied."""
        slow, fast = _tensors(self.average), _tensors(source)
        if [t.shape for t in slow] != [t.shape for t in fast]:
            raise ValueError("The moving average and its source differ in number or shape of their tensors.")
        for old, new in zip(slow, fast):
            if old.is_floating_point():
                old.lerp_(new.to(old.dtype), 1 - self.decay)
            else:
                old.copy_(new)


def _tensors(source) -> list[torch.Tensor]:
    return [*source.parameters(), *source.buffers()] if isinstance(source, nn.Module) else list(source)


def soft_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float = 1.0, reduction: str = "mean"
) -> torch.Tensor:
    """Cross entropy with a distribution as target: - sum_c t_c log softmax(logits / temperature)_c.

    Args:
        logits: (..., classes). targets: (..., classes), the weights of the classes, usually a distribution; taken as
            they are, so a teacher's logits are softened before.
        temperature: of the logits, above 0. Distillation with a temperature T often multiplies the loss by T ** 2
            (Hinton and others 2015, arXiv:1503.02531); this is left to the caller.
        reduction: "mean" for a number, "none" for (...).

    Returns:
        The loss. A class of target 0 adds nothing, even where its logit is minus infinity.

    Raises:
        ValueError: unequal shapes, a temperature that is not above 0, another reduction.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"Logits and targets need one shape (..., classes), got {tuple(logits.shape)} and {tuple(targets.shape)}."
        )
    if not temperature > 0 or reduction not in ("mean", "none"):
        raise ValueError(f'Temperature is above 0, reduction "mean" or "none"; got {temperature}, {reduction!r}.')
    log_p = (logits / temperature).log_softmax(-1)
    loss = -(targets * log_p.masked_fill(targets == 0, 0)).sum(-1)
    return loss.mean() if reduction == "mean" else loss


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
    if n < 1 or size < 1:
        raise ValueError(f"An epoch needs rows and a batch size of at least 1, got {n} and {size}.")
    order = torch.randperm(n, generator=generator)
    yield from (order if device is None else order.to(device)).split(size)


Generators = torch.Generator | Sequence[torch.Generator]


def _draw(x: torch.Tensor, generator: Generators, k: int) -> torch.Tensor:
    """k uniform numbers per image on its device: (k, images), seed by seed where there are several."""
    if x.dim() == 5:
        if isinstance(generator, torch.Generator) or len(generator) != len(x):
            raise ValueError(f"Images (S, b, c, h, w) need one generator a seed: a list of {len(x)}.")
        return torch.cat([torch.rand(k, x.shape[1], generator=g) for g in generator], dim=1).to(x.device)
    if x.dim() != 4 or not isinstance(generator, torch.Generator):
        raise ValueError(
            f"Give images (b, c, h, w) with a generator, or (S, b, c, h, w) with a list of S; got {tuple(x.shape)}."
        )
    return torch.rand(k, len(x), generator=generator).to(x.device)


def flip_and_crop(x: torch.Tensor, generator: Generators, pad: int = 4) -> torch.Tensor:
    """Random horizontal flip and random crop after reflection padding, one draw per image.

    Args:
        x: (b, c, h, w), or (S, b, c, h, w) with a list of S generators. generator: on the CPU.
        pad: pixels of padding on each side, from 0, fewer than h and w.

    Returns:
        As x, same dtype, device and memory format.
    """
    if x.dim() == 5:
        _draw(x, generator, 0)  # one generator a seed
        return torch.stack([flip_and_crop(part, g, pad) for part, g in zip(x, generator)])
    b, c, h, w = x.shape
    if not 0 <= pad < min(h, w):
        raise ValueError(f"Reflection pads by 0 to {min(h, w) - 1} pixels for images of {h} x {w}, got {pad}.")
    flip = torch.rand(b, generator=generator).lt(0.5).to(x.device)
    dy, dx = torch.randint(2 * pad + 1, (2, b, 1), generator=generator).to(x.device)
    padded = F.pad(x, (pad,) * 4, mode="reflect")
    columns = torch.arange(w, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(0), columns) + dx
    rows = torch.arange(h, device=x.device) + dy
    image = torch.arange(b, device=x.device)
    out = padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return out.permute(0, 3, 1, 2)


def crops(
    x: torch.Tensor, generator: Generators, min_area: float = 0.4, aspect: float = 4 / 3, flip: bool = True
) -> torch.Tensor:
    """Random resized crop of each image, and a horizontal flip of every second: one affine map per image.

    A rectangle of random area (uniform from `min_area` to 1) and aspect (log-uniform from 1 / aspect to aspect, as a
    multiple of the image's own), cut at the image's sides, anywhere in the image, is stretched to the full image by
    bilinear interpolation.

    Args:
        x: (b, c, h, w), or (S, b, c, h, w) with a list of S generators; bytes are divided by 255.
        generator: on the CPU. min_area: above 0, at most 1. aspect: from 1. flip: with flips.

    Returns:
        As x, floating point. With min_area=1, aspect=1 and no flip it is x.

    Source: Inception's crops (Szegedy and others 2015, arXiv:1409.4842), used by SimCLR (arXiv:2002.05709).
    """
    if not (0 < min_area <= 1 and 1 <= aspect < math.inf):
        raise ValueError(f"Crops need 0 < min_area <= 1 and aspect from 1, got {min_area} and {aspect}.")
    area, shape, left, up, mirror = _draw(x, generator, 5)
    images = (x.float() / 255 if x.dtype == torch.uint8 else x).flatten(0, -4)
    area = min_area + (1 - min_area) * area
    ratio = aspect ** (2 * shape - 1)
    w, h = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    maps = torch.zeros(len(images), 2, 3, device=x.device)
    maps[:, 0, 0] = torch.where(mirror < 0.5, -w, w) if flip else w
    maps[:, 0, 2] = (2 * left - 1) * (1 - w)
    maps[:, 1, 1] = h
    maps[:, 1, 2] = (2 * up - 1) * (1 - h)
    grid = F.affine_grid(maps.to(images.dtype), images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False).view(x.shape)


def jitter(
    x: torch.Tensor,
    generator: Generators,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.0,
    grey: float = 0.0,
    share: float = 1.0,
) -> torch.Tensor:
    """Random brightness, contrast and saturation of each image, in this order.

    Each factor is uniform within 1 +- its strength: of all values (brightness), of the distance to the image's mean
    (contrast), of the distance to the pixel's mean over channels (saturation).

    Args:
        x: (b, c, h, w) in [0, 1], or (S, b, c, h, w) with a list of S generators; not standardised yet.
        generator: on the CPU. brightness, contrast, saturation: strengths from 0 to 1.
        grey: share of the images that lose their colour (with three channels only).
        share: share of the images whose brightness, contrast and saturation change.

    Returns:
        As x, clamped to [0, 1].

    Source: SimCLR (Chen and others 2020, arXiv:2002.05709), without its change of hue.
    """
    numbers = dict(brightness=brightness, contrast=contrast, saturation=saturation, grey=grey, share=share)
    if not all(0 <= value <= 1 for value in numbers.values()) or not x.is_floating_point():
        raise ValueError(f"Jitter needs images in [0, 1] and numbers from 0 to 1, got {x.dtype} and {numbers}.")
    draws = _draw(x, generator, 5)
    strengths = torch.tensor([brightness, contrast, saturation], device=x.device)[:, None] * (draws[0] < share)
    light, spread, colour = (1 + strengths * (2 * draws[1:4] - 1)).to(x.dtype)[..., None, None, None]
    images = x.flatten(0, -4) * light
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * spread
    if images.shape[1] == 3 and (saturation or grey):
        colour = torch.where((draws[4] < grey)[:, None, None, None], 0, colour)
        pale = images.mean(1, keepdim=True)
        images = pale + (images - pale) * colour
    return images.clamp(0, 1).view(x.shape)


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
    optimizer: str | Callable = "sgd",
    schedule: Callable[[int, int], float] | None = None,
) -> nn.Module:
    """Plain supervised training, for baselines.

    Args:
        model: on the device of `x`. x: (n, ...) inputs. y: targets, as `loss(logits, y)` wants them.
        epochs, batch, lr, momentum, weight_decay: as usual.
        generator: draws the order, on the CPU.
        after_epoch: called with the epoch's number from 1 after each epoch.
        optimizer: "sgd", "adamw" (momentum is not used then), or a function that makes one from the parameters.
        schedule: schedule(step, steps) multiplies the learning rates at each step, as `cosine` does.

    Returns:
        The model, trained in place.

    Raises:
        ValueError: x and y of unequal length, no rows, another name of an optimizer.
    """
    if len(x) != len(y):
        raise ValueError(f"There are {len(x)} inputs and {len(y)} targets.")
    if callable(optimizer):
        descent = optimizer(model.parameters())
    elif optimizer == "sgd":
        descent = sgd(model.parameters(), lr, momentum, weight_decay)
    elif optimizer == "adamw":
        descent = adamw(model.parameters(), lr, weight_decay)
    else:
        raise ValueError(f'Unknown optimizer {optimizer!r}: "sgd", "adamw", or a function of the parameters.')
    rates = [group["lr"] for group in descent.param_groups]
    step, steps = 0, epochs * math.ceil(len(x) / batch)
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in batches(len(x), batch, generator, x.device):
            if schedule is not None:
                for group, rate in zip(descent.param_groups, rates):
                    group["lr"] = rate * schedule(step, steps)
            with autocast(x.device):
                value = loss(model(x[rows]), y[rows])
            descent.zero_grad(set_to_none=True)
            value.backward()
            descent.step()
            step += 1
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
    """Share of rows whose largest logit is the label, in percent; of equal logits the lowest class counts.

    Raises:
        ValueError: no rows, shapes other than (n, classes) and (n,), or logits that are NaN.
    """
    if logits.dim() != 2 or y.shape != logits.shape[:1] or not len(y):
        raise ValueError(
            f"Accuracy needs logits (n, classes) and labels (n,), n at least 1; got {tuple(logits.shape)} and "
            f"{tuple(y.shape)}."
        )
    if logits.isnan().any():
        raise ValueError(f"{int(logits.isnan().any(1).sum())} of {len(y)} rows of logits are NaN: training diverged.")
    return 100.0 * (logits.argmax(1) == y).float().mean().item()
