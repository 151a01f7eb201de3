"""Make vader_smollm2.npz: what SmolLM2-135M-Instruct says about the sentiment of 400 film-review snippets.

Each snippet is judged with four prompts: log-probabilities of two opposite answers as the first token of the reply.
Needs torch, transformers, safetensors, tokenizers, gguf, and the texts (`vader_texts`, fetched where needed).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import DataError, main, pack_npz

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FILE = "vader_smollm2.npz"
TEXTS = 400
LENGTHS = (20, 160)  # characters
MARGIN = 0.5  # smallest |mean rating| of the panel, so that there is a sign to be found
SEED = 20251031


def chosen(domain, ratings, texts) -> np.ndarray:
    """Rows to judge: film reviews of moderate length on which the panel leans one way."""
    fits = [
        row
        for row, (d, r, text) in enumerate(zip(domain, ratings, texts))
        if d == "movie" and LENGTHS[0] <= len(text) <= LENGTHS[1] and abs(np.mean(r)) >= MARGIN
    ]
    return np.sort(np.random.default_rng(SEED).choice(fits, TEXTS, replace=False))


def judge(texts: list[str]) -> np.ndarray:
    """(texts, prompts, 2): log-probability of the positive and of the negative answer."""
    import torch

    from shared import llm
    from shared.data.vader_smollm2 import PROMPTS

    torch.set_num_threads(1)
    model = llm.local()
    out = [model.scores([form.format(text=t) for t in texts], answers) for form, answers in PROMPTS]
    return np.stack(out, axis=1).astype(np.float32)


def build(source: Path | None) -> bytes:
    from shared import data, llm

    try:
        crowd, texts = data.load("vader_ratings"), data.load("vader_texts")
        rows = chosen(crowd.domain, crowd.ratings, texts)
        scores = judge([texts[row] for row in rows])
    except (data.DataError, llm.LLMError, ValueError) as error:
        raise DataError(str(error)) from None
    return pack_npz({"row": rows.astype(np.int32), "logprob": scores})


if __name__ == "__main__":
    main(FILE, __doc__, build)
