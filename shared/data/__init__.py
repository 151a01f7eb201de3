"""Data sets by name: embedded snapshots, checksummed on load, and downloads for `full`.

`catalog.json` beside this file lists every set with checksum, licence and the script that made it.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).resolve().parent
loaded: dict[str, str] = {}  # sha256 of every set that this process has loaded, for the record


class DataError(RuntimeError):
    """A data file is missing, damaged or out of reach; the message says what to do."""


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
        `citeseer`, `crowd_sets`, `label_errors`, `label_errors_models`: see the readers, each a module of its name.

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
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(index, minlength=len(names))
    slack = int(counts.max() - 1) * (len(sizes) + 1)  # what cutting at group borders may cost
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


# -- reading ---------------------------------------------------------------------------------------------------


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def embedded(entry: dict) -> bytes:
    """Bytes of an embedded file, checked. Raises DataError where it is missing or damaged."""
    path = HERE / entry["file"]
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(
            f"{path} is missing: restore it with `git checkout -- {path}` or run {entry['script']}."
        ) from None
    if _sha256(content) != entry["sha256"]:
        raise DataError(
            f"{path} is damaged (its sha256 is not the catalogue's): restore it with `git checkout -- {path}` "
            f"or run {entry['script']}."
        )
    return content


def cache_folder() -> Path:
    """Folder of downloads: $BOOK_DATA_CACHE, else `~/.cache/imperfect-labels`."""
    return Path(os.environ.get("BOOK_DATA_CACHE") or Path.home() / ".cache" / "imperfect-labels")


def fetch(entry: dict) -> Path:
    """Path of a downloaded file: from the cache, else $BOOK_DATA_MIRROR, else the network; always verified.

    Raises:
        DataError: not there, no network, or a wrong checksum; nothing half-written stays.
    """
    file = entry["url"].rsplit("/", 1)[1]
    mirror = os.environ.get("BOOK_DATA_MIRROR")
    if mirror:
        path = Path(mirror) / file
        if not path.is_file():
            raise DataError(f"$BOOK_DATA_MIRROR has no {file}: put it into {mirror} (from {entry['url']}).")
        if _sha256(path.read_bytes()) != entry["sha256"]:
            raise DataError(f"{path} has a wrong checksum: fetch it again from {entry['url']}.")
        return path
    import pooch

    try:
        path = pooch.retrieve(entry["url"], f"sha256:{entry['sha256']}", fname=file, path=cache_folder())
    except ValueError:
        raise DataError(f"What {entry['url']} sent has a wrong checksum: nothing was kept; try again later.") from None
    except OSError as error:  # requests' errors are OSErrors
        raise DataError(
            f"{entry['url']} cannot be reached ({type(error).__name__}): put {file} into a folder and name it in "
            "$BOOK_DATA_MIRROR, or use scale 'small', which needs no network."
        ) from None
    return Path(path)


def fetch_all(entry: dict) -> dict[str, Path]:
    """Paths of the files of a downloaded set by their names, each as `fetch` finds and verifies it."""
    return {part["url"].rsplit("/", 1)[1]: fetch(part) for part in entry["files"]}


def verify() -> list[str]:
    """Names of the embedded sets, each checked on disk. Raises DataError for the first that is damaged."""
    names = [name for name, entry in catalog().items() if entry["kind"] == "embedded"]
    for name in names:
        embedded(catalog()[name])
    return names
