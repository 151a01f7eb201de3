"""Judgements of SmolLM2-135M-Instruct about film-review snippets (see data_scripts/vader_smollm2.py)."""

import io
from types import SimpleNamespace

import numpy as np

from shared.data import embedded

# A prompt and its answers: positive first. The script asked these; whoever asks again must ask the same.
PROMPTS = (
    (
        "Is the sentiment of the following text positive or negative? Answer with one word.\n\n{text}",
        ("Positive", "Negative"),
    ),
    ("Is the following film review good or bad? Answer with one word.\n\n{text}", ("Good", "Bad")),
    ("Classify the sentiment of this text as Positive or Negative.\n\n{text}", ("Positive", "Negative")),
    (
        "Would somebody who wrote the following recommend the film? Answer Yes or No.\n\n{text}",
        ("Yes", "No"),
    ),
)


def read(entry: dict) -> SimpleNamespace:
    """row (n,): rows of `vader_ratings`; logprob (n, prompts, 2) float32, the positive answer first."""
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        return SimpleNamespace(row=file["row"].astype(np.int64), logprob=file["logprob"])
