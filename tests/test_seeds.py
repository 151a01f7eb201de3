"""Named random streams: the same again, and independent of each other."""

import itertools

import numpy as np
import pytest
import torch

from shared import seeds

PURPOSES = ("init", "noise", "order", "noise ", "Noise", "dropout masks", "Rauschen ä")


def draws(seed, purpose):
    return (
        seeds.number(seed, purpose),
        seeds.numpy(seed, purpose).random(5).tolist(),
        torch.rand(5, generator=seeds.torch(seed, purpose)).tolist(),
    )


def test_the_same_seed_and_purpose_give_the_same_numbers_and_any_other_pair_different_ones():
    found = {pair: draws(*pair) for pair in itertools.product((0, 1, 7, 2**40), PURPOSES)}
    assert all(draws(*pair) == values for pair, values in found.items())
    for values in zip(*found.values()):
        assert len({str(v) for v in values}) == len(found)


def test_the_streams_stay_what_they_are():
    """Records depend on these numbers: they change only with every record."""
    assert [seeds.number(s, "init") for s in (0, 1)] == [2145519863, 858868822]
    assert seeds.numpy(0, "init").integers(1000) == 205


def test_two_thousand_pairs_do_not_collide():
    numbers = {seeds.number(s, p) for s in range(100) for p in map(str, range(20))}
    assert len(numbers) == 2000 and min(numbers) >= 0 and max(numbers) < 2**31
    first = {seeds.numpy(s, p).integers(2**62) for s in range(100) for p in map(str, range(20))}
    assert len(first) == 2000


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_streams_are_uniform_and_uncorrelated(kind):
    """Neighbouring seeds and purposes: correlations as small as 5,000 independent draws allow."""

    def draw(seed, purpose):
        if kind == "torch":
            return torch.rand(5000, generator=seeds.torch(seed, purpose)).numpy()
        return seeds.numpy(seed, purpose).random(5000)

    rows = np.stack([draw(s, p) for s in range(8) for p in ("init", "noise", "order", "a", "b")])
    assert np.abs(rows.mean(1) - 0.5).max() < 5 / (12 * 5000) ** 0.5
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 5 / 5000**0.5
    starts = rows[:, 0]  # the first numbers of neighbouring streams do not follow each other
    assert np.unique(starts).size == len(starts) and 0.1 < starts.std() < 0.45


def test_whole_numbers_of_numpy_are_seeds_and_the_global_streams_stay():
    state = torch.get_rng_state(), np.random.get_state()[1]
    for seed in (np.int64(3), np.uint8(3), torch.tensor(3)):
        assert draws(seed, "x") == draws(3, "x")
    assert torch.equal(state[0], torch.get_rng_state()) and (state[1] == np.random.get_state()[1]).all()
    assert seeds.torch(3, "x").device.type == "cpu"


@pytest.mark.parametrize("call", [seeds.number, seeds.numpy, seeds.torch])
@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, np.bool_(True), np.float64(2), [1], float("nan")])
def test_other_seeds_are_refused(call, seed):
    with pytest.raises(ValueError, match="whole number from 0"):
        call(seed, "noise")


@pytest.mark.parametrize("purpose", ["", "  ", 3, None, b"noise"])
def test_a_purpose_is_needed(purpose):
    with pytest.raises(ValueError, match="needs a purpose"):
        seeds.number(0, purpose)
