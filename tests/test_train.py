"""Training pieces against naive versions; the device path where there is one."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared import train


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def test_batches_are_a_permutation_and_depend_on_the_generator_only():
    parts = list(train.batches(103, 20, g(5)))
    assert [len(p) for p in parts] == [20, 20, 20, 20, 20, 3]
    assert sorted(torch.cat(parts).tolist()) == list(range(103))
    assert torch.equal(torch.cat(parts), torch.cat(list(train.batches(103, 20, g(5)))))
    assert not torch.equal(torch.cat(parts), torch.cat(list(train.batches(103, 20, g(6)))))


def test_flip_and_crop_equals_a_loop_over_images():
    x = torch.randn(16, 3, 12, 10)
    got = train.flip_and_crop(x, g(3), pad=2)
    draw = g(3)
    flip = torch.rand(16, generator=draw).lt(0.5)
    dy, dx = torch.randint(5, (2, 16, 1), generator=draw)
    for i in range(16):
        padded = nn.functional.pad(x[i : i + 1], (2, 2, 2, 2), mode="reflect")[0]
        want = padded[:, dy[i] : dy[i] + 12, dx[i] : dx[i] + 10]
        assert torch.equal(got[i], want.flip(-1) if flip[i] else want)
    assert flip.any() and not flip.all()


def test_flip_and_crop_keeps_channels_last():
    x = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last)
    assert train.flip_and_crop(x, g()).is_contiguous(memory_format=torch.channels_last)


def test_fit_equals_a_hand_written_loop():
    x, y = torch.randn(60, 5, generator=g()), torch.randint(3, (60,), generator=g(1))
    torch.manual_seed(0)
    model, twin = nn.Linear(5, 3), nn.Linear(5, 3)
    twin.load_state_dict(model.state_dict())
    train.fit(model, x, y, epochs=3, batch=16, lr=0.1, weight_decay=0.01, generator=g(2))
    optimizer, order = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9, weight_decay=0.01), g(2)
    for _ in range(3):
        for rows in torch.randperm(60, generator=order).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(x[rows]), y[rows]).backward()
            optimizer.step()
    assert torch.equal(model.weight, twin.weight)


def test_predict_is_in_evaluation_mode_and_restores_the_mode():
    model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 2))
    x = torch.randn(11, 4)
    model.train()
    assert torch.equal(train.predict(model, x, batch=4), train.predict(model, x, batch=4))
    assert model.training
    assert torch.allclose(train.predict(model, x, batch=3), model.eval()(x).detach(), atol=1e-6)


def test_fit_with_another_optimizer_and_a_schedule_equals_a_hand_written_loop():
    x, y = torch.randn(60, 5, generator=g()), torch.randint(3, (60,), generator=g(1))
    nets = [nn.Linear(5, 3) for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    plan = dict(epochs=3, batch=16, lr=0.1, weight_decay=0.3, schedule=train.cosine)
    train.fit(nets[0], x, y, generator=g(2), optimizer="adamw", **plan)
    train.fit(nets[1], x, y, generator=g(2), optimizer=lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.3), **plan)
    optimizer, order, step = torch.optim.AdamW(nets[2].parameters(), 0.1, weight_decay=0.3), g(2), 0
    for _ in range(3):
        for rows in torch.randperm(60, generator=order).split(16):
            optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 12))
            optimizer.zero_grad()
            F.cross_entropy(nets[2](x[rows]), y[rows]).backward()
            optimizer.step()
            step += 1
    assert torch.equal(nets[0].weight, nets[1].weight)
    torch.testing.assert_close(nets[0].weight, nets[2].weight)


def test_fit_refuses_nonsense():
    plan = dict(epochs=1, batch=4, lr=0.1, generator=g())
    for x, y, more, says in (
        (torch.zeros(3, 2), torch.zeros(2).long(), {}, "3 inputs and 2 targets"),
        (torch.zeros(0, 2), torch.zeros(0).long(), {}, "at least 1"),
        (torch.zeros(3, 2), torch.zeros(3).long(), {"optimizer": "adam"}, "Unknown optimizer 'adam'"),
    ):
        with pytest.raises(ValueError, match=says):
            train.fit(nn.Linear(2, 2), x, y, **plan, **more)


def test_the_cosine_rises_and_falls():
    assert [train.cosine(t, 4) for t in range(5)] == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0])
    assert [train.cosine(t, 8, 4) for t in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert [train.cosine(t, 8, 4) for t in range(4, 9)] == pytest.approx([train.cosine(t, 4) for t in range(5)])
    assert [train.cosine(t, 2, 2) for t in range(3)] == [0.5, 1, 0]
    assert (train.cosine(0, 1), train.cosine(1, 1)) == (1, 0)
    peer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(peer, 30)
    for t in range(30):
        assert train.cosine(t, 30) == pytest.approx(peer.param_groups[0]["lr"], abs=1e-9)
        peer.step()
        schedule.step()


@pytest.mark.parametrize("words", [(0, 0), (-1, 5), (6, 5), (0, 5, 6), (0, 5, -1), (float("nan"), 5)])
def test_a_cosine_outside_its_steps_is_refused(words):
    with pytest.raises(ValueError, match="A cosine needs"):
        train.cosine(*words)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99, 1.0])
def test_the_moving_average_of_a_network_equals_torchs_and_a_loop(decay):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    mine = train.EMA(net, decay)
    peer = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True
    )
    peer.update_parameters(net)  # the first copies
    slow = {name: v.clone() for name, v in net.state_dict().items()}
    for _ in range(4):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn_like(p))
        net(torch.randn(8, 3))
        mine.update(net)
        peer.update_parameters(net)
        for name, new in net.state_dict().items():
            slow[name] = decay * slow[name] + (1 - decay) * new if new.is_floating_point() else new.clone()
    for name, value in mine.average.state_dict().items():
        torch.testing.assert_close(value, slow[name])
    for value, theirs in zip(mine.average.parameters(), peer.module.parameters()):
        torch.testing.assert_close(value, theirs)
    assert mine.average[1].num_batches_tracked == 4
    assert not mine.average.training and not any(p.requires_grad for p in mine.average.parameters())
    assert net.training and all(p.requires_grad for p in net.parameters())


def test_the_moving_average_of_tensors():
    tensors = [torch.ones(2, requires_grad=True), torch.zeros(3)]
    mine = train.EMA(tensors, 0.75)
    mine.update([5 * torch.ones(2), torch.ones(3)])
    assert mine.average[0].tolist() == [2, 2] and mine.average[1].tolist() == [0.25] * 3
    assert tensors[0].tolist() == [1, 1] and not mine.average[0].requires_grad
    for bad in ([torch.ones(2)], [torch.ones(2), torch.ones(1)]):
        with pytest.raises(ValueError, match="differ in number or shape"):
            mine.update(bad)
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            train.EMA(tensors, decay)


def test_soft_cross_entropy_and_its_gradient_against_torch_and_a_loop():
    logits = torch.randn(3, 7, 4, dtype=torch.float64, generator=g(), requires_grad=True)
    targets = torch.rand(3, 7, 4, dtype=torch.float64, generator=g(1)).softmax(-1)
    for temperature in (1.0, 0.1, 4.0):
        mine = train.soft_cross_entropy(logits, targets, temperature)
        theirs = F.cross_entropy((logits / temperature).flatten(0, 1), targets.flatten(0, 1))
        torch.testing.assert_close(mine, theirs)
        left, right = (torch.autograd.grad(value, logits)[0] for value in (mine, theirs))
        torch.testing.assert_close(left, right)
    rows = train.soft_cross_entropy(logits, targets, 2.0, reduction="none")
    assert rows.shape == (3, 7)
    z, t = (logits.detach() / 2)[1, 2].tolist(), targets[1, 2].tolist()
    total = math.log(sum(map(math.exp, z)))
    assert rows[1, 2].item() == pytest.approx(-sum(a * (b - total) for a, b in zip(t, z)))
    hard = F.one_hot(torch.randint(4, (3, 7), generator=g(2)), 4).double()
    theirs = F.cross_entropy(logits.flatten(0, 1), hard.argmax(-1).flatten())
    torch.testing.assert_close(train.soft_cross_entropy(logits, hard), theirs)
    assert torch.autograd.gradcheck(lambda z: train.soft_cross_entropy(z, targets, 0.5), logits)


def test_soft_cross_entropy_of_a_class_that_is_ruled_out():
    """Minus infinity where the target is 0 adds nothing to loss and gradient; where it is not, the loss is infinite."""
    logits = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    loss = train.soft_cross_entropy(logits, torch.tensor([[0.5, 0.5, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.e) - 0.5)
    p = torch.tensor([0.0, 1.0]).softmax(0)
    torch.testing.assert_close(logits.grad, torch.tensor([[p[0] - 0.5, p[1] - 0.5, 0.0]]))
    assert train.soft_cross_entropy(logits.detach(), torch.tensor([[0.5, 0.0, 0.5]])) == math.inf


@pytest.mark.parametrize(
    ("shape", "more"),
    [((2, 4), {}), ((3,), {}), ((2, 3), {"temperature": 0}), ((2, 3), {"temperature": math.nan}), ((2, 3), {"reduction": "sum"})],
)  # fmt: skip
def test_soft_cross_entropy_refuses_nonsense(shape, more):
    with pytest.raises(ValueError, match="one shape|Temperature is above 0"):
        train.soft_cross_entropy(torch.zeros(2, 3), torch.zeros(shape), **more)


def test_adamw_is_torchs():
    nets = [nn.Linear(3, 2) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    makers = (train.adamw, lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.01))
    for net, make in zip(nets, makers):
        optimizer = make(net.parameters(), 0.1)
        for _ in range(3):
            net(torch.ones(1, 3)).sum().backward()
            optimizer.step()
    assert torch.equal(nets[0].weight, nets[1].weight)


# -- images on tensors -------------------------------------------------------------------------------------------


def bilinear(image, top, left, height, width, mirrored):
    """(c, h, w) -> the rectangle, stretched to (c, h, w), pixel by pixel; values outside are those of the border."""
    c, h, w = image.shape
    out = np.zeros((c, h, w))
    for i in range(h):
        for j in range(w):
            y = top + (i + 0.5) / h * height - 0.5
            x = left + ((w - 1 - j if mirrored else j) + 0.5) / w * width - 0.5
            y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
            a, b = int(y), int(x)
            c1, c2 = min(a + 1, h - 1), min(b + 1, w - 1)
            u, v = y - a, x - b
            top_row = (1 - v) * image[:, a, b] + v * image[:, a, c2]
            out[:, i, j] = (1 - u) * top_row + u * ((1 - v) * image[:, c1, b] + v * image[:, c1, c2])
    return out


def test_crops_equal_a_loop_over_pixels():
    x = torch.rand(6, 3, 8, 10, generator=g())
    got = train.crops(x, g(3), min_area=0.3)
    area, shape, left, up, mirror = torch.rand(5, 6, generator=g(3)).double().numpy()
    area, ratio = 0.3 + 0.7 * area, (4 / 3) ** (2 * shape - 1)
    w, h = np.minimum((area * ratio) ** 0.5, 1), np.minimum((area / ratio) ** 0.5, 1)
    for i in range(6):
        image = x[i].double().numpy()
        want = bilinear(image, up[i] * (1 - h[i]) * 8, left[i] * (1 - w[i]) * 10, h[i] * 8, w[i] * 10, mirror[i] < 0.5)
        np.testing.assert_allclose(got[i].numpy(), want, atol=1e-5)
    assert (mirror < 0.5).any() and (mirror >= 0.5).any()


def test_crops_of_everything_are_the_image_and_bytes_become_shares():
    x = torch.randint(256, (5, 3, 6, 6), generator=g(), dtype=torch.uint8)
    same = train.crops(x, g(), min_area=1, aspect=1, flip=False)
    torch.testing.assert_close(same, x.float() / 255, atol=1e-5, rtol=0)
    flipped = train.crops(x, g(), min_area=1, aspect=1)
    for image, out in zip(x.float() / 255, flipped):
        assert min((out - image).abs().max(), (out - image.flip(-1)).abs().max()) < 1e-5
    constant = train.crops(torch.full((4, 1, 7, 7), 0.3), g(), min_area=0.1)
    torch.testing.assert_close(constant, torch.full((4, 1, 7, 7), 0.3))


def test_areas_of_crops_are_uniform():
    """A ramp shows how wide a crop is: its range is the width, up to the border."""
    ramp = torch.linspace(0, 1, 64).expand(4000, 1, 64, 64)
    out = train.crops(ramp, g(), min_area=0.25, aspect=1)
    width = (out[:, 0, 0].max(-1).values - out[:, 0, 0].min(-1).values).clamp(max=1)
    assert width.min() > 0.47 and width.square().mean().item() == pytest.approx(0.625, abs=0.02)


def test_jitter_equals_torchvision_image_by_image():
    from torchvision.transforms.v2 import functional as peer

    grey = torch.rand(8, 1, 6, 5, generator=g())
    draws = torch.rand(5, 8, generator=g(7))
    got = train.jitter(0.5 * grey, g(7), brightness=0.3, contrast=0.4)
    for i in range(8):
        light, spread = 1 + 0.3 * (2 * draws[1, i] - 1), 1 + 0.4 * (2 * draws[2, i] - 1)
        want = peer.adjust_contrast(peer.adjust_brightness(0.5 * grey[i], light.item()), spread.item())
        torch.testing.assert_close(got[i], want, atol=1e-6, rtol=1e-5)


def test_jitter_of_colours_against_a_loop():
    x = 0.25 + 0.5 * torch.rand(40, 3, 4, 4, generator=g())
    got = train.jitter(x, g(2), 0.1, 0.2, 0.3, grey=0.3, share=0.6)
    draws = torch.rand(5, 40, generator=g(2))
    for i in range(40):
        on = float(draws[0, i] < 0.6)
        a, b, c = (1 + s * on * (2 * draws[k, i].item() - 1) for k, s in ((1, 0.1), (2, 0.2), (3, 0.3)))
        image = x[i].numpy() * a
        image = image.mean() + (image - image.mean()) * b
        pale = image.mean(0)
        image = pale + (image - pale) * (0 if draws[4, i] < 0.3 else c)
        np.testing.assert_allclose(got[i], image.clip(0, 1), atol=1e-5)
    assert 0 < (draws[4] < 0.3).sum() < 40 and 0 < (draws[0] < 0.6).sum() < 40


def test_jitter_of_strength_zero_or_share_zero_changes_nothing_and_the_result_is_clamped():
    x = torch.rand(4, 3, 5, 5, generator=g())
    for still in (dict(brightness=0, contrast=0), dict(share=0.0)):
        torch.testing.assert_close(train.jitter(x, g(), **still), x)
    wild = train.jitter(x, g(), 1.0, 1.0, 1.0)
    assert wild.min() >= 0 and wild.max() <= 1
    pale = train.jitter(x, g(), 0, 0, 0, grey=1.0)
    torch.testing.assert_close(pale, x.mean(1, keepdim=True).expand_as(x))
    assert torch.isfinite(train.jitter(torch.zeros(2, 3, 4, 4), g(), 1.0, 1.0, 1.0)).all()


@pytest.mark.parametrize("call", [train.crops, train.jitter, train.flip_and_crop])
def test_images_of_all_seeds_draw_from_their_own_generators(call):
    x = torch.rand(3, 5, 2, 12, 12, generator=g())
    got = call(x, [g(1), g(2), g(3)])
    assert got.shape == x.shape and got.dtype == x.dtype
    for k in range(3):
        torch.testing.assert_close(got[k], call(x[k], g(k + 1)))
    for images, generators in ((x, g()), (x, [g()]), (x[0, 0], g())):
        with pytest.raises(ValueError):
            call(images, generators)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: train.crops(x, g(), min_area=0), "min_area"),
        (lambda x: train.crops(x, g(), min_area=1.1), "min_area"),
        (lambda x: train.crops(x, g(), aspect=0.5), "aspect"),
        (lambda x: train.crops(x, g(), aspect=math.inf), "aspect"),
        (lambda x: train.jitter(x, g(), brightness=1.5), "from 0 to 1"),
        (lambda x: train.jitter(x, g(), share=math.nan), "from 0 to 1"),
        (lambda x: train.jitter((255 * x).byte(), g()), "uint8"),
        (lambda x: train.flip_and_crop(x, g(), pad=6), "0 to 5 pixels"),
        (lambda x: train.flip_and_crop(x, g(), pad=-1), "0 to 5 pixels"),
        (lambda x: next(train.batches(0, 5, g())), "at least 1"),
        (lambda x: next(train.batches(5, 0, g())), "at least 1"),
    ],
)
def test_wrong_images_and_batches_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.rand(2, 3, 6, 6))


def test_accuracy_is_a_percentage():
    assert train.accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])) == 75.0
    assert train.accuracy(torch.eye(1), torch.tensor([0])) == 100.0
    rows = torch.tensor([[-math.inf, 0.0, -math.inf], [0.0, math.inf, 1.0], [2.0, 2.0, 1.0], [-math.inf] * 3])
    assert train.accuracy(rows, torch.tensor([1, 1, 0, 0])) == 100.0  # of equal logits the lowest class
    assert train.accuracy(rows, torch.tensor([1, 1, 1, 1])) == 50.0


def test_accuracy_of_logits_that_are_nan_or_of_nothing_is_refused():
    logits = torch.zeros(3, 2)
    logits[1, 1] = math.nan
    with pytest.raises(ValueError, match="1 of 3 rows of logits are NaN"):
        train.accuracy(logits, torch.zeros(3).long())
    for bad, y in (
        (torch.zeros(0, 2), torch.zeros(0).long()),
        (torch.zeros(3, 2), torch.zeros(3, 1).long()),  # would be compared with one another
        (torch.zeros(3, 2), torch.zeros(2).long()),
        (torch.zeros(3), torch.zeros(3).long()),
    ):
        with pytest.raises(ValueError, match="Accuracy needs"):
            train.accuracy(bad, y)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_autocast_layout_and_fused_optimizer():
    device = torch.device("cuda")
    model = train.place(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)), device)
    x, y = train.to_device(torch.randn(64, 3, 8, 8), device), torch.randint(4, (64,), device=device)
    assert x.is_contiguous(memory_format=torch.channels_last)
    with train.autocast(device):
        assert model(x).dtype == torch.bfloat16
    assert train.sgd(model.parameters(), 0.1).defaults["fused"]
    assert train.adamw(model.parameters(), 0.1).defaults["fused"]
    for call in (train.flip_and_crop, train.crops, train.jitter):  # every device draws the same
        torch.testing.assert_close(call(x, g(4)).cpu(), call(x.cpu(), g(4)), atol=1e-5, rtol=1e-4)
    before = train.accuracy(train.predict(model, x), y)
    train.fit(model, x, y, epochs=60, batch=32, lr=0.05, generator=g())
    assert train.accuracy(train.predict(model, x), y) > before
    assert train.predict(model, x).dtype == torch.float32
