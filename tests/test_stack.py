"""Networks side by side against the same networks one by one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared import seeds, stack, train

SEEDS = (3, 0, 11)


def conv_net():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip


def batch_norm_net():
    return nn.Sequential(nn.Linear(8, 7), nn.BatchNorm1d(7, track_running_stats=False), nn.Tanh(), nn.Linear(7, 5))


class Tied(nn.Module):
    """Encoder and decoder with one weight, a constant in a buffer, and a weight that does not learn."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.b.weight = self.a.weight
        self.out.weight.requires_grad_(False)
        self.register_buffer("shift", torch.randn(8))

    def forward(self, x):
        return self.out(self.b(self.a(x + self.shift).relu()))


MAKERS = {"conv": (conv_net, (2, 8, 8)), "batch norm": (batch_norm_net, (8,)), "tied": (Tied, (8,))}


def stacks(kind, **kwargs):
    """A stack, and its networks built one by one; inputs and labels."""
    if kind == "perceptrons":
        net, shape = stack.perceptrons((8, 7, 6, 5), SEEDS), (8,)
        alone = [net.alone(k) for k in range(3)]
    else:
        make, shape = MAKERS[kind]
        net, alone = stack.stacked(make, SEEDS, **kwargs), []
        for seed in SEEDS:
            torch.manual_seed(seeds.number(seed, "init"))
            alone.append(make())
    g = torch.Generator().manual_seed(0)
    return net, alone, torch.randn(3, 9, *shape, generator=g), torch.randint(5, (3, 9), generator=g)


def loss_of(logits, y):
    return F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="sum") / y.shape[-1]


ALL = [*MAKERS, "perceptrons"]


@pytest.mark.parametrize("kind", ALL)
def test_outputs_and_gradients_are_those_of_the_networks_one_by_one(kind):
    net, alone, x, y = stacks(kind)
    out = net(x)
    assert out.shape == (3, 9, 5)
    loss_of(out, y).backward()
    for k, single in enumerate(alone):
        mine = single(x[k])
        torch.testing.assert_close(out[k], mine, atol=1e-5, rtol=1e-5)
        loss_of(mine, y[k]).backward()
        pairs = list(zip(single.named_parameters(), net.named_parameters()))
        assert len(pairs) == len(list(net.parameters()))
        for (_, p), (_, row) in pairs:
            assert p.requires_grad == row.requires_grad
            if p.requires_grad:
                grad = row.grad[k]
                grad = grad if grad.shape == p.shape else grad.reshape(p.shape) if p.dim() == 1 else grad.T
                torch.testing.assert_close(grad, p.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("make", [train.sgd, train.adamw])
def test_training_side_by_side_is_training_one_by_one(kind, make):
    net, alone, x, y = stacks(kind)
    groups = [(net, x, y)] + [(single, x[k], y[k]) for k, single in enumerate(alone)]
    for model, inputs, labels in groups:
        optimizer = make([p for p in model.parameters() if p.requires_grad], 0.01, weight_decay=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            loss_of(model(inputs), labels).backward()
            optimizer.step()
    for k, single in enumerate(alone):
        torch.testing.assert_close(net(x)[k], single(x[k]), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(net.alone(k)(x[k]), single(x[k]), atol=2e-5, rtol=1e-4)


def test_a_network_does_not_depend_on_its_neighbours_or_on_the_global_stream():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    many, one = stack.stacked(conv_net, SEEDS), stack.stacked(conv_net, SEEDS[1:2])
    a, b = stack.perceptrons((8, 7, 5), SEEDS), stack.perceptrons((8, 7, 5), SEEDS[1:2])
    assert torch.equal(before, torch.get_rng_state())
    for left, right in ((many, one), (a, b)):
        for p, q in zip(left.parameters(), right.parameters()):
            assert torch.equal(p[1], q[0])
        assert not torch.equal(*next(iter(left.parameters()))[:2])
    assert not torch.equal(stack.stacked(conv_net, SEEDS, "other").net[0].weight, many.net[0].weight)


def test_one_seed_and_one_row_work():
    net = stack.stacked(conv_net, [4])
    assert net(torch.zeros(1, 1, 2, 8, 8)).shape == (1, 1, 5)
    assert stack.perceptrons((8, 5), [4])(torch.zeros(1, 1, 8)).shape == (1, 1, 5)


@pytest.mark.parametrize("make", ["stacked", "perceptrons"])
def test_dropout_differs_between_seeds_and_follows_the_global_stream_and_the_mode(make):
    if make == "stacked":
        net = stack.stacked(lambda: nn.Sequential(nn.Linear(4, 400), nn.ReLU(), nn.Dropout(0.5)), [1, 2])
    else:
        net = stack.perceptrons((4, 400, 1), [1, 2], dropout=0.5)[:3]
    for p in net.parameters():
        p.data.fill_(1.0)
    x = torch.ones(2, 3, 4)
    torch.manual_seed(0)
    first = net(x)
    torch.manual_seed(0)
    assert torch.equal(first, net(x))
    assert not torch.equal(first, net(x))
    masks = first != 0
    assert not torch.equal(masks[0], masks[1]) and 0.4 < masks.float().mean() < 0.6
    net.eval()
    assert torch.equal(net(x), net(x)) and (net(x) != 0).all()


def test_running_statistics_are_refused_in_one_sentence_and_taken_one_after_another():
    def make():
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 5))

    with pytest.raises(ValueError, match="^1 keeps running statistics.*loop=True"):
        stack.stacked(make, SEEDS)
    net, x = stack.stacked(make, SEEDS, loop=True), torch.randn(3, 9, 2, 8, 8)
    torch.manual_seed(seeds.number(SEEDS[2], "init"))
    single = make()
    torch.testing.assert_close(net(x)[2], single(x[2]))
    torch.testing.assert_close(net.alone(2)[1].running_mean, single[1].running_mean)
    net.eval(), single.eval()
    torch.testing.assert_close(net(x)[2], single(x[2]))
    torch.testing.assert_close(net.alone(2)(x[2]), single(x[2]))


def test_copies_and_states_of_a_stack():
    net, _, x, _ = stacks("conv")
    twin = stack.stacked(conv_net, (9, 8, 7))
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin(x), net(x)) and torch.equal(copy.deepcopy(net)(x), net(x))
    place = train.place(net, torch.device("cpu"))
    assert torch.equal(place(x), twin(x))
    assert net.double()(x.double()).dtype == torch.float64
    one = net.alone(1)
    one[0].weight.data.zero_()
    assert net.net[0].weight[1].any()  # a copy


def test_linear_layers_are_drawn_as_torch_draws_them_or_within_a_bound():
    layer = stack.Linears(9, 4, SEEDS, "layer")
    torch.manual_seed(seeds.number(0, "layer"))
    peer = nn.Linear(9, 4)
    assert torch.equal(layer.weight[1], peer.weight.T) and torch.equal(layer.bias[1, 0], peer.bias)
    wide = stack.Linears(100, 50, SEEDS, "layer", bound=0.7)
    assert 0.69 < wide.weight.abs().max() <= 0.7 and not wide.bias.any()
    plain = stack.Linears(9, 4, SEEDS, bias=False)
    assert plain.bias is None and torch.equal(plain(torch.zeros(3, 2, 9)), torch.zeros(3, 2, 4))
    x = torch.randn(3, 2, 9)
    torch.testing.assert_close(plain.alone(2)(x[2]), plain(x)[2])


def test_resnet18_has_the_entrance_for_small_images():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    net = stack.resnet18(7, channels=1).eval()
    assert net.conv1.weight.shape == (64, 1, 3, 3) and net.conv1.stride == (1, 1)
    seen = {}
    net.layer1.register_forward_hook(lambda _, x, y: seen.update(entrance=x[0].shape))
    net.layer4.register_forward_hook(lambda _, x, y: seen.update(end=y.shape))
    assert net(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert seen == {"entrance": (2, 64, 32, 32), "end": (2, 512, 4, 4)}
    assert stack.resnet18(None).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 512)
    theirs = {name: p.shape for name, p in resnet18(num_classes=7).named_parameters() if name != "conv1.weight"}
    assert theirs == {name: p.shape for name, p in net.named_parameters() if name != "conv1.weight"}
    assert net.conv1.weight.std().item() == pytest.approx(
        (2 / (64 * 9)) ** 0.5, rel=0.1
    )  # torchvision's initialisation
    assert stack.stacked(lambda: stack.resnet18(3), [0], loop=True)(torch.zeros(1, 2, 3, 8, 8)).shape == (1, 2, 3)


def test_batches_and_rows_of_every_seed():
    got = list(stack.batches(10, 4, stack.streams(SEEDS, "order")))
    assert [tuple(rows.shape) for rows in got] == [(3, 4), (3, 4), (3, 2)]
    order = torch.cat(got, dim=1)
    for k, seed in enumerate(SEEDS):
        assert torch.equal(order[k], torch.cat(list(train.batches(10, 4, seeds.torch(seed, "order")))))
    x = torch.randn(3, 10, 2)
    part = stack.take(x, got[0])
    assert all(torch.equal(part[k, i], x[k, got[0][k, i]]) for k in range(3) for i in range(4))
    with pytest.raises(ValueError, match="Rows are"):
        stack.take(x, got[0][:2])
    with pytest.raises(ValueError, match="Rows are"):
        stack.take(x, got[0][0])


def test_dropout_of_a_seed_is_its_own():
    x = torch.randn(3, 400, 2)
    out = stack.dropout(x, 0.25, stack.streams(SEEDS, "masks"))
    for k, seed in enumerate(SEEDS):
        kept = torch.rand(400, 2, generator=seeds.torch(seed, "masks")) >= 0.25
        torch.testing.assert_close(out[k], torch.where(kept, x[k] / 0.75, 0))
        alone = stack.dropout(x[k : k + 1], 0.25, stack.streams([seed], "masks"))
        assert torch.equal(out[k], alone[0])
    assert torch.equal(stack.dropout(x, 0, stack.streams(SEEDS, "masks")), x)
    assert not stack.dropout(x, 1, stack.streams(SEEDS, "masks")).any()  # zeros, not NaN
    for rate, generators in ((1.1, SEEDS), (-0.1, SEEDS), (float("nan"), SEEDS), (0.5, SEEDS[:2])):
        with pytest.raises(ValueError, match="Dropout needs"):
            stack.dropout(x, rate, stack.streams(generators, "masks"))


def test_predictions_and_accuracies_of_every_seed():
    net = stack.perceptrons((8, 300, 5), SEEDS, dropout=0.5)
    x, y = torch.randn(3, 11, 8), torch.randint(5, (3, 11))
    logits = stack.predict(net, x, batch=4)
    assert net.training and not logits.requires_grad
    torch.testing.assert_close(logits, torch.stack([net.alone(k).eval()(x[k]) for k in range(3)]))
    got = stack.accuracy(logits, y)
    np.testing.assert_allclose(got, [train.accuracy(logits[k], y[k]) for k in range(3)])
    for bad in (y[0], y[:2], y[:, :5]):
        with pytest.raises(ValueError):
            stack.accuracy(logits, bad)
    with pytest.raises(ValueError, match="NaN"):
        stack.accuracy(torch.full((3, 11, 5), float("nan")), y)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stack.stacked(conv_net, []), "at least one seed"),
        (lambda: stack.perceptrons((8,), SEEDS), "inputs and outputs"),
        (lambda: stack.perceptrons((8, 0, 5), SEEDS), "inputs and outputs"),
        (lambda: stack.stacked(conv_net, SEEDS)(torch.zeros(2, 9, 2, 8, 8)), "3 networks side by side"),
        (lambda: stack.stacked(conv_net, SEEDS, loop=True)(torch.zeros(4, 9, 2, 8, 8)), "3 networks side by side"),
        (lambda: stack.perceptrons((8, 5), SEEDS)(torch.zeros(9, 8)), "3 networks side by side"),
        (lambda: stack.stacked(conv_net, [-1]), "whole number"),
    ],
)
def test_wrong_calls_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("kind", ALL)
def test_under_autocast_a_stack_calculates_in_bfloat16(kind):
    net, alone, x, y = stacks(kind)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
        loss_of(out, y).backward()
    full = net(x)
    assert 0 < (out.float() - full).abs().max() < 0.05  # products in bfloat16; vmap adds offsets in float32
    assert all(p.grad.dtype == torch.float32 for p in net.parameters() if p.requires_grad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", ALL)
def test_on_a_gpu_a_stack_trains_under_autocast(kind):
    net, _, x, y = stacks(kind)
    device = torch.device("cuda")
    net, x, y = train.place(net, device), x.to(device), y.to(device)
    optimizer = train.adamw([p for p in net.parameters() if p.requires_grad], 0.01)
    before = loss_of(stack.predict(net, x), y).item()
    for _ in range(20):
        with train.autocast(device):
            loss = loss_of(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss_of(stack.predict(net, x), y).item() < before
