"""CIFAR-10 (Krizhevsky 2009), the binary version: fixed-length records, nothing to unpickle."""

import tarfile
from types import SimpleNamespace

import numpy as np
import torch

from shared.data import DataError, fetch

PARTS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
RECORD = 1 + 3 * 32 * 32  # label, then the red, green and blue planes


def read(entry: dict) -> SimpleNamespace:
    """x_train (n, 3, 32, 32) uint8, y_train (n,) int64, x_test, y_test."""
    found, split = {}, {}
    try:
        with tarfile.open(fetch(entry)) as archive:  # members are read, never extracted: no path of theirs is used
            for member in archive:
                if member.isfile():
                    found[member.name.rsplit("/", 1)[-1]] = np.frombuffer(archive.extractfile(member).read(), np.uint8)
    except tarfile.TarError as error:
        raise DataError(
            f"{entry['url']} is no readable archive ({error}): delete it from the cache or mirror."
        ) from None
    for part, files in PARTS.items():
        bad = [file for file in files if file not in found or found[file].size % RECORD]
        if bad:
            raise DataError(f"{entry['url']}: {bad[0]} is missing in the archive or not of {RECORD}-byte records.")
        rows = np.concatenate([found[file].reshape(-1, RECORD) for file in files])
        split[f"y_{part}"] = torch.from_numpy(rows[:, 0].astype(np.int64))
        split[f"x_{part}"] = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return SimpleNamespace(**split)
