"""Training pieces against naive versions; the device path where there is one."""

import pytest
import torch
from torch import nn

from shared import train
from shared.corrupt import symmetric


def g(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.4, 1.0])
def test_symmetric_noise_changes_exactly_its_share(rate):
    y = torch.randint(10, (2000,), generator=g())
    noisy, changed = symmetric(y, rate, 10, g(1))
    assert int(changed.sum()) == round(rate * 2000)
    assert torch.equal(changed, noisy != y)
    assert torch.equal(y, torch.randint(10, (2000,), generator=g()))  # the labels given are untouched


def test_symmetric_noise_is_uniform_over_the_wrong_classes():
    y = torch.zeros(90_000, dtype=torch.int64) + 3
    noisy, _ = symmetric(y, 1.0, 10, g())
    counts = noisy.bincount(minlength=10).float()
    assert counts[3] == 0
    wrong = counts[counts > 0]
    assert len(wrong) == 9 and ((wrong - 10_000).abs() < 500).all()


def test_symmetric_noise_that_may_draw_the_true_class_changes_fewer():
    y = torch.randint(10, (50_000,), generator=g())
    _, changed = symmetric(y, 0.4, 10, g(1), include_true=True)
    assert changed.float().mean().item() == pytest.approx(0.36, abs=0.01)


def test_symmetric_noise_refuses_nonsense():
    y = torch.tensor([0, 1, 2])
    for rate, classes in ((1.5, 3), (-0.1, 3), (0.5, 2), (0.5, 1)):
        with pytest.raises(ValueError, match="symmetric noise needs"):
            symmetric(y, rate, classes, g())


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


def test_accuracy_is_a_percentage():
    assert train.accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])) == 75.0


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
    before = train.accuracy(train.predict(model, x), y)
    train.fit(model, x, y, epochs=60, batch=32, lr=0.05, generator=g())
    assert train.accuracy(train.predict(model, x), y) > before
    assert train.predict(model, x).dtype == torch.float32
