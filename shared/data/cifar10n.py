"""CIFAR-10N (Wei et al. 2022): labels that people gave to the training images of CIFAR-10, three for each image."""

import _codecs
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import torch

from shared.data import DataError, fetch

KEYS = {name: f"{name}_label" for name in ("clean", "worse", "aggre")}
KEYS |= {f"random{i}": f"random_label{i}" for i in (1, 2, 3)}
# All that the file may name: enough for arrays of numbers, and nothing that runs code.
SAFE = [
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
    _codecs.encode,
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
]


def read(entry: dict) -> SimpleNamespace:
    """Labels of the 50,000 training images in the order of `cifar10`, each (n,) int64.

    `clean` repeats CIFAR-10's own labels (compare them before use), `random1` to `random3` are one person's each,
    `aggre` their majority, and `worse` takes a wrong one wherever there is one.
    """
    path = fetch(entry)
    try:
        with torch.serialization.safe_globals(SAFE):
            found = torch.load(path, weights_only=True)
        labels = {name: torch.as_tensor(found[key]) for name, key in KEYS.items()}
    except (pickle.UnpicklingError, RuntimeError, zipfile.BadZipFile, KeyError, TypeError, EOFError) as error:
        raise DataError(
            f"{path} holds no tables of labels ({' '.join(str(error).split())[:120]}): delete it and fetch it again "
            f"from {entry['url']}."
        ) from None
    return SimpleNamespace(**labels)
