"""Make fashion_mnist.npz: the first 1,200 training and 200 test images of every class, in file order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import DataError, Input, fetch, main, pack_npz

FILE = "fashion_mnist.npz"
PER_CLASS = {"train": 1200, "test": 200}
ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
GITHUB = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion"
)
PINNED = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
INPUTS = {
    name: Input(
        name,
        digest,
        urls=(f"{ZALANDO}/{name}.gz", f"{GITHUB}/{name}.gz"),
        deb="dataset-fashion-mnist",
        deb_path=f"usr/share/datasets/fashion-mnist/{name}.gz",
    )
    for name, digest in PINNED.items()
}


def read_idx(data: bytes) -> np.ndarray:
    """IDX: two zero bytes, the type (8: unsigned byte), the number of axes, their lengths, the numbers."""
    if data[:3] != b"\0\0\x08":
        raise DataError("The input is not an IDX file of bytes.")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def first_of_each_class(y: np.ndarray, n: int) -> np.ndarray:
    return np.sort(np.concatenate([np.flatnonzero(y == c)[:n] for c in range(10)]))


def build(source: Path | None) -> bytes:
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        x = read_idx(fetch(INPUTS[f"{prefix}-images-idx3-ubyte"], source))
        y = read_idx(fetch(INPUTS[f"{prefix}-labels-idx1-ubyte"], source))
        rows = first_of_each_class(y, PER_CLASS[part])
        arrays[f"x_{part}"], arrays[f"y_{part}"] = x[rows], y[rows]
    return pack_npz(arrays)


if __name__ == "__main__":
    main(FILE, __doc__, build)
