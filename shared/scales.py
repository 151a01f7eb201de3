"""Scale, seeds, device and determinism of a run."""

from __future__ import annotations

import os
import random

SCALES = ("smoke", "small", "full")


def resolve_scale(scale: str | None = None) -> str:
    """`scale`, else $BOOK_SCALE, else "small". Raises ValueError for anything that is not a scale."""
    scale = scale if scale is not None else os.environ.get("BOOK_SCALE") or "small"
    if scale not in SCALES:
        raise ValueError(f'Unknown scale {scale!r}: choose "smoke", "small" or "full".')
    return scale


def resolve_seeds(seeds, default: int) -> list[int]:
    """Seeds of a run.

    Args:
        seeds: a count, a list of seeds, or None for $BOOK_SEEDS ("20", or "0,1,2"), else the default.
        default: how many seeds the scale asks for.

    Returns:
        The seeds, each once. A string is refused: papermill passes one for lists unless it is told `-y`.
    """
    if seeds is None:
        text = os.environ.get("BOOK_SEEDS", "").strip()
        if not text:
            return list(range(default))
        try:
            numbers = [int(part) for part in text.rstrip(",").split(",")]
        except ValueError:
            raise ValueError(f'$BOOK_SEEDS is {text!r}: give a count such as "20" or seeds such as "0,1,2".') from None
        seeds = numbers if "," in text else numbers[0]
    if isinstance(seeds, str):
        raise TypeError(f"seeds={seeds!r} is a string: papermill needs -y for lists, as in -y 'seeds: [0, 1, 2]'.")
    if isinstance(seeds, bool) or not isinstance(seeds, (int, list, tuple, range)):
        raise TypeError(f"seeds={seeds!r}: give a count (a number) or a list of seeds.")
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in chosen):
        raise ValueError(f"seeds={seeds!r}: seeds are whole numbers from 0, at least one.")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"seeds={seeds!r}: every seed may be named once.")
    return chosen


def device():
    """The accelerator that is there: cuda, mps, else cpu (torch.device)."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def deterministic(scale: str, seed: int = 0) -> None:
    """Seed every generator; on the CPU at `smoke` and `small` one thread, so that two runs agree to the bit."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if scale == "full":
        return
    if device().type == "cpu":
        torch.set_num_threads(1)  # one thread adds in one order; nothing else on the CPU is random
    else:  # not asked on the CPU, where it would cost two seconds of imports
        torch.use_deterministic_algorithms(True, warn_only=True)
