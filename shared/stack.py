"""Networks of all seeds side by side: a small network leaves a processor idle, a row of them does not.

Every tensor has a leading axis of length S, one place a seed. The networks share nothing: *add* the losses over that
axis and each network receives exactly the gradient that it would receive alone; SGD and AdamW keep them apart, clipping
the norm of all gradients together would not. With `torch.func.vmap`
(https://docs.pytorch.org/tutorials/intermediate/ensembling.html), or by one batched product where layers are linear.

Speed against one after another on one core, 5 and 10 seeds, batches of 32 to 128: perceptrons 1.9 to 4.5 times
(`stacked` 1.5 to 2.6), a small convolutional network with strides 1.4 to 2.8, one with 16 and 32 channels at full
resolution 0.8 to 1.2: there the processor is busy already, and `loop=True` is as good.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, vmap

from shared import seeds as named
from shared import train


def _build(make: Callable[[], nn.Module], seeds: Sequence[int], purpose: str) -> list[nn.Module]:
    """One network per seed, each from its own stream; torch's global stream stays where it was."""
    if not len(seeds):
        raise ValueError("Give at least one seed: there is one network for each.")
    nets = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(named.number(seed, purpose))
            nets.append(make())
    return nets


class Stack(nn.Module):
    """S networks of one architecture as one module (see `stacked`): (S, b, ...) -> (S, b, ...).

    Its parameters and buffers are those of a single network with a leading axis S. In training mode each network
    draws its own dropout masks, from torch's global stream: they depend on how many networks there are.
    """

    def __init__(self, nets: Sequence[nn.Module]):
        super().__init__()
        for name, part in nets[0].named_modules():
            if getattr(part, "running_mean", None) is not None:
                raise ValueError(
                    f"{name or type(part).__name__} keeps running statistics, which networks side by side cannot: use "
                    "group norm or track_running_stats=False, or loop=True."
                )
        self.size = len(nets)
        self.net = copy.deepcopy(nets[0])
        stacked: dict[
            int, nn.Parameter
        ] = {}  # one for every parameter of the first network, so that tied ones stay tied
        for place, *parts in zip(self.net.modules(), *(net.modules() for net in nets)):
            for name, first in parts[0]._parameters.items():
                if first is not None:
                    values = torch.stack([part._parameters[name].detach() for part in parts])
                    place._parameters[name] = stacked.setdefault(id(first), nn.Parameter(values, first.requires_grad))
            for name, first in parts[0]._buffers.items():
                if first is not None:
                    place._buffers[name] = torch.stack([part._buffers[name] for part in parts])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _check(x, self.size)
        state = dict(self.net.named_parameters()) | dict(self.net.named_buffers())
        run = vmap(lambda state, x: functional_call(self.net, state, (x,)), randomness="different")
        return run(state, x)

    def alone(self, k: int) -> nn.Module:
        """A copy of network `k` as a plain module: (b, ...) -> (b, ...)."""
        net, single = copy.deepcopy(self.net), {}
        for part in net.modules():
            for name, value in part._parameters.items():
                if value is not None:
                    one = nn.Parameter(value.detach()[k].clone(), value.requires_grad)
                    part._parameters[name] = single.setdefault(id(value), one)
            for name, value in part._buffers.items():
                part._buffers[name] = None if value is None else value[k].clone()
        return net


class Loop(nn.Module):
    """S networks one after another behind the same face as `Stack`: for big ones, and for running statistics."""

    def __init__(self, nets: Sequence[nn.Module]):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _check(x, len(self.nets))
        return torch.stack([net(train.to_device(part, part.device)) for net, part in zip(self.nets, x)])

    def alone(self, k: int) -> nn.Module:
        """A copy of network `k`."""
        return copy.deepcopy(self.nets[k])


def stacked(
    make: Callable[[], nn.Module], seeds: Sequence[int], purpose: str = "init", loop: bool = False
) -> Stack | Loop:
    """Networks of all seeds as one module.

    Args:
        make: builds one network; called once a seed with torch seeded by `seeds.number(seed, purpose)`, so a network
            does not depend on its neighbours. torch's global stream is left where it was.
        seeds: S seeds. purpose: name of the stream of the initialisation.
        loop: one network after another instead of all at once: for big networks, such as a ResNet-18, which gain
            nothing, and for batch norm with running statistics.

    Returns:
        A module: (S, b, ...) -> (S, b, ...); `.alone(k)` is network k as a plain module.

    Raises:
        ValueError: no seeds, or running statistics without `loop`. Batch norm with track_running_stats=False is
            taken; note that it then uses the statistics of the batch in evaluation, too.
    """
    nets = _build(make, seeds, purpose)
    return Loop(nets) if loop else Stack(nets)


class Linears(nn.Module):
    """S linear layers by one batched product: (S, b, i) -> (S, b, o).

    Args:
        i, o: inputs and outputs. seeds: S seeds. purpose: name of the stream of the initialisation; give each layer
            its own.
        bias: with an offset.
        bound: weights uniform within +-bound and offsets zero; without it both as torch's `nn.Linear` draws them.

    Attributes:
        weight (S, i, o), the transpose of torch's; bias (S, 1, o) or None.
    """

    def __init__(
        self,
        i: int,
        o: int,
        seeds: Sequence[int],
        purpose: str = "init",
        bias: bool = True,
        bound: float | None = None,
    ):
        super().__init__()
        layers = _build(lambda: nn.Linear(i, o, bias), seeds, purpose)
        weight = torch.stack([layer.weight.detach().T for layer in layers])
        offset = torch.stack([layer.bias.detach()[None] for layer in layers]) if bias else None
        if bound is not None:  # torch draws within +-i ** -0.5
            weight, offset = weight * (bound * i**0.5), torch.zeros_like(offset) if bias else None
        self.weight = nn.Parameter(weight.contiguous())
        self.bias = nn.Parameter(offset) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _check(x, len(self.weight))
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)

    def alone(self, k: int) -> nn.Linear:
        """Layer `k` as torch's own."""
        layer = nn.Linear(*self.weight.shape[1:], bias=self.bias is not None, device=self.weight.device)
        with torch.no_grad():
            layer.weight.copy_(self.weight[k].T)
            if self.bias is not None:
                layer.bias.copy_(self.bias[k, 0])
        return layer


class Perceptrons(nn.Sequential):
    """What `perceptrons` makes."""

    def alone(self, k: int) -> nn.Sequential:
        """A copy of perceptron `k` as a plain module: (b, i) -> (b, o)."""
        return nn.Sequential(*(p.alone(k) if isinstance(p, Linears) else copy.deepcopy(p) for p in self))


def perceptrons(sizes: Sequence[int], seeds: Sequence[int], purpose: str = "init", dropout: float = 0.0) -> Perceptrons:
    """Perceptrons of all seeds: linear layers with ReLU between them, faster than `stacked` for them.

    Args:
        sizes: inputs, hidden units of each layer, outputs; two numbers give a linear model.
        seeds: S seeds. purpose: name of the stream of the initialisation (layer k draws from "<purpose> <k>").
        dropout: rate after each ReLU, from 0 to 1; masks come from torch's global stream.

    Returns:
        A sequence of layers: (S, b, sizes[0]) -> (S, b, sizes[-1]); all but the last are the features. `.alone(k)` is
        perceptron k.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"A perceptron needs its inputs and outputs, at least one each; got sizes {tuple(sizes)}.")
    layers: list[nn.Module] = []
    for k, (i, o) in enumerate(zip(sizes[:-1], sizes[1:])):
        if k:
            layers += [nn.ReLU(), nn.Dropout(dropout)] if dropout else [nn.ReLU()]
        layers.append(Linears(i, o, seeds, f"{purpose} {k}"))
    return Perceptrons(*layers)


def resnet18(classes: int | None, channels: int = 3) -> nn.Module:
    """ResNet-18 for images of about 32 x 32 pixels: a 3 x 3 entrance without stride and no max pooling.

    Args:
        classes: outputs; None leaves the classifier away: (b, 512) pooled features.
        channels: of the images (b, channels, h, w).

    Source: K. He and others, CVPR 2016, arXiv:1512.03385; the entrance as in https://github.com/kuangliu/pytorch-cifar.
    """
    from torchvision.models import resnet18 as make

    net = make(num_classes=1 if classes is None else classes)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    net.maxpool = nn.Identity()
    if classes is None:
        net.fc = nn.Identity()
    return net


def streams(seeds: Sequence[int], purpose: str) -> list[torch.Generator]:
    """One generator on the CPU for each seed, of this purpose."""
    return [named.torch(seed, purpose) for seed in seeds]


def batches(
    n: int, size: int, generators: Sequence[torch.Generator], device: torch.device | None = None
) -> Iterator[torch.Tensor]:
    """Index batches of one epoch, each seed in its own order: (S, b) int64; arguments as in `train.batches`."""
    for rows in zip(*(train.batches(n, size, generator) for generator in generators)):
        yield torch.stack(rows).to(device)


def take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of each seed: x (S, n, ...), rows (S, b) -> (S, b, ...)."""
    if rows.dim() != 2 or len(rows) != len(x):
        raise ValueError(f"Rows are (S, b) for x (S, n, ...), got {tuple(rows.shape)} for {tuple(x.shape)}.")
    return x[torch.arange(len(x), device=x.device)[:, None], rows.to(x.device)]


def dropout(x: torch.Tensor, rate: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Dropout whose masks do not depend on which seeds run side by side: each is drawn from its seed's own generator.

    Args:
        x: (S, ...). rate: share that is set to zero, from 0 to 1; the rest is divided by 1 - rate.
        generators: S, on the CPU. For training only: leave the call out in evaluation.
    """
    if not 0 <= rate <= 1 or len(generators) != len(x):
        raise ValueError(f"Dropout needs a rate from 0 to 1 and one generator a seed, got {rate}, {len(generators)}.")
    keep = torch.stack([torch.rand(x.shape[1:], generator=g) for g in generators]) >= rate
    return x * keep.to(x.device) / max(1 - rate, 1e-12)


@torch.no_grad()
def predict(net: nn.Module, x: torch.Tensor, batch: int = 2000) -> torch.Tensor:
    """Logits (S, n, classes) in float32 for x (S, n, ...), the networks in evaluation mode meanwhile."""
    training = net.training
    net.eval()
    with train.autocast(x.device):
        logits = torch.cat([net(part) for part in x.split(batch, dim=1)], dim=1).float()
    net.train(training)
    return logits


def accuracy(logits: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Share of rows whose largest logit is the label, in percent: (S, n, classes), (S, n) -> (S,); see `train.accuracy`."""
    if logits.dim() != 3 or len(logits) != len(y):
        raise ValueError(f"Logits are (S, n, classes) and labels (S, n), got {tuple(logits.shape)}, {tuple(y.shape)}.")
    return np.array([train.accuracy(*pair) for pair in zip(logits, y)])


def _check(x: torch.Tensor, size: int) -> None:
    if x.dim() < 2 or len(x) != size:
        raise ValueError(f"{size} networks side by side take ({size}, b, ...), got {tuple(x.shape)}.")
