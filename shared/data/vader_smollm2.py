"""Judgements of SmolLM2-135M-Instruct about film-review snippets (see data_scripts/vader_smollm2.py)."""

import io
from types import SimpleNamespace

import numpy as np

from shared.data import embedded

# A prompt and its answers: positive first. The script asked these; whoever asks again must ask the same.
PROMPTS = (
    (
        'Review: "{text}"\nIs the sentiment of this review positive or negative? Answer with one word.',
        ("positive", "negative"),
    ),
    (
        "Classify the sentiment of the text as positive or negative.\nText: {text}\nSentiment:",
        ("Positive", "Negative"),
    ),
    ('Somebody wrote about a film: "{text}"\nDid they find the film good or bad?', ("good", "bad")),
    ('"{text}"\nDoes the writer of this sentence like the film? Reply with yes or no.', ("Yes", "No")),
)


def read(entry: dict) -> SimpleNamespace:
    """row (n,): rows of `vader_ratings`; logprob (n, prompts, 2) float32, the positive answer first."""
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        return SimpleNamespace(row=file["row"].astype(np.int64), logprob=file["logprob"])
