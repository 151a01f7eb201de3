"""Data sets by name: embedded snapshots, checksummed on load, and downloads for `full`.

`catalog.json` beside this file lists every set with checksum, licence and the script that made it. How files are found,
fetched and verified stands in `fetching`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
from types import SimpleNamespace

import numpy as np

from shared.data.fetching import HERE, DataError, _sha256, cache_folder, embedded, fetch, fetch_all, verify  # noqa: F401

loaded: dict[str, str] = {}  # sha256 of every set that this process has loaded, for the record


@functools.lru_cache(maxsize=1)
def catalog() -> dict[str, dict]:
    """The catalogue: name -> kind, file, url or files, bytes, sha256 (of several files: of
    their sums in order), title, licence, source, script."""
    return json.loads((HERE / "catalog.json").read_text(encoding="utf-8"))


def load(name: str, scale: str = "small", seed: int | None = None, **sizes: int) -> SimpleNamespace:
    """A data set, checked against its checksum.

    Args:
        name: name in the catalogue.
        scale: scale of the run; downloads are allowed at "full" only.
        seed: draws the split: the parts of different seeds are disjoint while the pool lasts.
        sizes: rows of each part, such as train=2000, val=300, test=500 (labelled image sets only).

    Returns:
        A namespace. `fashion_mnist`: x_<part> float32 (n, 1, 28, 28) in [0, 1] and y_<part> int64 (n,), by
        part of `sizes`. `cifar10`: x_train uint8 (50000, 3, 32, 32), y_train, x_test, y_test.
        `debian_packages`: one list per column (see the page "Data and licences"). `debian_minilm`: a float32
        tensor (14255, 384) of unit rows. `debtags_vocabulary`: dict of tag to description. `vader_ratings`:
        domain, id, hit (n,) and ratings, one int8 array per row; `vader_minilm`: a float32 tensor (14805, 384)
        for its first rows; `vader_texts`: list of str, one per row, fetched by pip once;
        `vader_smollm2`: what a small language model says to some of them (see its reader). `cifar10n`, `cora`,
        `citeseer`, `crowd_sets`, `label_errors`, `label_errors_models`, `wordnet`: see the readers, each a module of its name.

    Raises:
        ValueError: unknown name or sizes that do not fit the pool.
        DataError: missing, damaged, or not to be downloaded here.
    """
    entries = catalog()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(entries)}."
        raise ValueError(f"Unknown data set {name!r}: {hint}")
    entry = entries[name]
    if entry["kind"] == "download" and scale != "full":
        raise DataError(f"{name} is downloaded at scale 'full' only; {scale!r} runs on the embedded sets.")
    content = _read(name)
    if name == "fashion_mnist":
        if seed is None or not sizes:
            raise ValueError("fashion_mnist is a pool: give seed= and the parts, as in train=2000, test=500.")
        content = _parts(content, seed, sizes)
    elif sizes:
        raise ValueError(f"{name} has its own split or none: sizes {', '.join(sizes)} do not apply (see `folds`).")
    loaded[name] = entry["sha256"]
    return content


def images(scale: str, seed: int, size: int = 14, **parts: int) -> SimpleNamespace:
    """Fashion-MNIST in few pixels: squares of pixels averaged, else as `load("fashion_mnist", scale, seed, **parts)`.

    Args:
        scale: scale of the run. seed: draws the rows, the same as `load` for the same parts.
        size: pixels of a side after averaging; divides 28.
        parts: rows of each part, such as train=2000, val=300, test=500.

    Returns:
        A namespace: x_<part> float32 (n, 1, size, size) in [0, 1] and y_<part> int64 (n,).

    Raises:
        ValueError: a size that does not divide 28, no parts, or parts that do not fit the pool.
    """
    from torch.nn.functional import avg_pool2d

    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or 28 % size:
        raise ValueError(f"Images have 28 x 28 pixels, so a size is 28, 14, 7, 4, 2 or 1; got {size!r}.")
    content = load("fashion_mnist", scale, seed, **parts)
    if size < 28:
        for part in parts:
            setattr(content, f"x_{part}", avg_pool2d(getattr(content, f"x_{part}"), 28 // size))
    return content


@functools.lru_cache(maxsize=8)
def _read(name: str):
    """Content of a set; each has its reader in a module of its own, so that a new one makes no record stale."""
    return importlib.import_module(f"shared.data.{name}").read(catalog()[name])


def _parts(pool, seed: int, sizes: dict[str, int]) -> SimpleNamespace:
    import torch

    images, labels = pool
    split = {}
    for part, rows in zip(sizes, folds(range(len(labels)), list(sizes.values()), seed)):
        split[f"x_{part}"] = torch.from_numpy(images[rows]).float().div_(255).unsqueeze(1)
        split[f"y_{part}"] = torch.from_numpy(labels[rows].astype(np.int64))
    return SimpleNamespace(**split)


def _layout(groups, sizes) -> tuple[list, np.ndarray, int]:
    if not sizes:
        raise ValueError("Folds need at least one part.")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(index, minlength=len(names))
    slack = int(counts.max(initial=1) - 1) * (len(sizes) + 1)  # what cutting at group borders may cost
    need = sum(sizes) + slack
    if min(sizes) < 1 or need > len(index):
        raise ValueError(f"Parts of {' + '.join(map(str, sizes))} rows do not fit a pool of {len(index)} rows.")
    return index, counts, len(index) // need


def disjoint_folds(groups, sizes) -> int:
    """How many seeds get folds that share no row (see `folds`)."""
    return _layout(groups, list(sizes))[2]


def folds(groups, sizes, seed: int) -> list[np.ndarray]:
    """Row indices of the parts that a seed draws; no group lies in two parts.

    The pool is shuffled once, group by group, and cut: seeds 0 to k-1 take disjoint pieces (`disjoint_folds`
    gives k), the next k seeds cut a new shuffle, and so on.

    Args:
        groups: (n,) group of each row, such as its source package; range(n) where rows stand alone.
        sizes: rows of each part.
        seed: whole number from 0.

    Returns:
        One sorted index array per part, of exactly the sizes asked for.
    """
    sizes = list(sizes)
    if seed < 0:
        raise ValueError(f"A seed is a whole number from 0, got {seed}.")
    index, counts, pieces = _layout(groups, sizes)
    turn, piece = divmod(seed, pieces)
    place = np.random.default_rng([20231, turn]).permutation(len(counts))
    rows = np.argsort(place[index], kind="stable")
    borders = np.concatenate([[0], np.cumsum(counts[np.argsort(place)])])  # where groups start in `rows`
    start = piece * (len(rows) // pieces)
    parts = []
    for size in sizes:
        start = int(borders[np.searchsorted(borders, start)])
        parts.append(np.sort(rows[start : start + size]))
        start += size
    return parts
