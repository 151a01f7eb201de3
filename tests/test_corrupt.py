"""Label noise against counting, and its edges."""

import pytest
import torch

from shared.corrupt import pairs, symmetric


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


@pytest.mark.parametrize("kind", ["pairs", "symmetric", "symmetric with the true class"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32])
def test_no_labels_one_label_rates_zero_and_one_and_the_type(kind, dtype):
    def corrupt(y, rate):
        if kind == "pairs":
            return pairs(y, rate, 3, g())
        return symmetric(y, rate, 3, g(), include_true="true" in kind)

    for y in (torch.zeros(0, dtype=dtype), torch.tensor([2], dtype=dtype), torch.tensor([0, 1, 2] * 5, dtype=dtype)):
        for rate in (0, 0.0, 0.5, 1, 1.0):
            noisy, changed = corrupt(y, rate)
            assert noisy.dtype == dtype and noisy.shape == changed.shape == y.shape
            assert torch.equal(changed, noisy != y) and (not len(y) or 0 <= noisy.min() <= noisy.max() < 3)
            if rate == 0:
                assert not changed.any()
            if rate == 1 and "true" not in kind:
                assert changed.all()


WRONG = [
    (torch.zeros(4, 2, dtype=torch.int64), 0.5, r"whole-number labels \(n,\).*\(4, 2\)"),
    (torch.tensor(1), 0.5, "whole-number labels"),
    (torch.tensor([0.0, 1.0]), 0.5, "float32"),
    (torch.tensor([True, False]), 0.5, "bool"),
    (torch.tensor([0, 1]), float("nan"), "rate nan"),
    (torch.tensor([0, 1]), 1.01, "rate 1.01"),
    (torch.tensor([0, 1]), -0.01, "rate -0.01"),
    (torch.tensor([0, -1]), 0.5, r"labels in 0\.\."),
]


@pytest.mark.parametrize(("y", "rate", "says"), WRONG)
def test_labels_and_rates_that_make_no_sense_are_refused(y, rate, says):
    for call in (lambda: symmetric(y, rate, 3, g()), lambda: pairs(y, rate, 3, g())):
        with pytest.raises(ValueError, match=says):
            call()


def test_pair_noise_changes_exactly_its_share_of_each_class_into_its_partner():
    y = torch.randint(5, (3001,), generator=g())
    partner = {0: 3, 3: 0, 4: 1}
    noisy, changed = pairs(y, 0.3, partner, g(1))
    for k in range(5):
        rows = y == k
        assert int(changed[rows].sum()) == (round(0.3 * int(rows.sum())) if k in partner else 0)
        assert (noisy[rows & changed] == partner.get(k, -1)).all()
    assert torch.equal(changed, noisy != y)
    assert torch.equal(y, torch.randint(5, (3001,), generator=g()))
    assert not torch.equal(changed, pairs(y, 0.3, partner, g(2))[1])


def test_pair_noise_in_a_circle_and_with_an_absent_class():
    y = torch.tensor([0, 1, 2, 2])
    assert pairs(y, 1.0, 3, g())[0].tolist() == [1, 2, 0, 0]
    assert pairs(y, 1.0, {7: 2, 0: 9}, g())[0].tolist() == [9, 1, 2, 2]
    assert not pairs(y, 1.0, {}, g())[1].any()


@pytest.mark.parametrize("mapping", [{1: 1}, {0: -1}, {-1: 0}, 0, 1, 2])
def test_pairs_that_are_none_are_refused(mapping):
    with pytest.raises(ValueError, match="turns into another|pair noise needs"):
        pairs(torch.tensor([0, 2]), 0.5, mapping, g())
