"""Random streams: one for each seed and named purpose, so that arms differ in nothing else.

`seeds.torch(seed, "noise")` and `seeds.torch(seed, "order")` are independent of each other and of every other seed;
nothing has to be kept apart by arithmetic such as `100 * seed + 3`, which two notebooks would do differently.
The SHA-256 of the purpose and the seed are mixed by numpy's SeedSequence
(https://numpy.org/doc/stable/reference/random/parallel.html).
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np


def _sequence(seed: int, purpose: str) -> np.random.SeedSequence:
    if not isinstance(purpose, str) or not purpose.strip():
        raise ValueError(f'A random stream needs a purpose in words, such as "noise"; got {purpose!r}.')
    try:
        number = -1 if isinstance(seed, bool | np.bool_) else operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"A seed is a whole number from 0, got {seed!r}.")
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest(), "<u4")
    return np.random.SeedSequence([*map(int, words), number])


def number(seed: int, purpose: str) -> int:
    """A seed for generators that want a number, such as `torch.manual_seed` before a network is built.

    Args:
        seed: whole number from 0. purpose: what is drawn, in words.

    Returns:
        A whole number below 2**31.

    Raises:
        ValueError: another seed, or no purpose.
    """
    return int(_sequence(seed, purpose).generate_state(1)[0] >> 1)


def numpy(seed: int, purpose: str) -> np.random.Generator:
    """A numpy Generator of its own for this seed and purpose; arguments and errors as in `number`."""
    return np.random.default_rng(_sequence(seed, purpose))


def torch(seed: int, purpose: str):
    """A torch.Generator on the CPU of its own for this seed and purpose; arguments and errors as in `number`.

    Draw on the CPU and move what was drawn, and every device sees the same numbers.
    """
    import torch as library

    return library.Generator().manual_seed(number(seed, purpose))
