"""Files of the data sets: embedded ones and downloads, each verified against the checksum of the catalogue.

Apart from the package that imports it: whatever is said when a file is missing, no result depends on it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent


class DataError(RuntimeError):
    """A data file is missing, damaged or out of reach; the message says what to do."""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path, missing: str) -> bytes:
    """Bytes of a file; a DataError that says `missing` where there is none, and the cause where it is not readable."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(missing) from None
    except OSError as error:
        raise DataError(f"{path} is there but cannot be read ({error.strerror}): change its permissions.") from None


def embedded(entry: dict) -> bytes:
    """Bytes of an embedded file, checked. Raises DataError where it is missing, not readable or damaged."""
    path = HERE / entry["file"]
    back = f"restore it with `git checkout -- {path}` or run {entry['script']}."
    content = _content(path, f"{path} is missing: {back}")
    if _sha256(content) != entry["sha256"]:
        raise DataError(f"{path} is damaged (its sha256 is not the catalogue's): {back}")
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
        content = _content(path, f"$BOOK_DATA_MIRROR has no {file}: put it into {mirror} (from {entry['url']}).")
        if _sha256(content) != entry["sha256"]:
            raise DataError(f"{path} has a wrong checksum: fetch it again from {entry['url']}.")
        return path
    import pooch
    from requests import HTTPError, RequestException

    instead = (
        f"put {file} into a folder and name it in $BOOK_DATA_MIRROR, or use scale 'small', which needs no network."
    )
    try:
        path = pooch.retrieve(entry["url"], f"sha256:{entry['sha256']}", fname=file, path=cache_folder())
    except HTTPError as error:
        status = error.response.status_code
        raise DataError(f"{entry['url']} is refused by its server (status {status}): {instead}") from None
    except RequestException as error:
        raise DataError(f"{entry['url']} cannot be reached ({type(error).__name__}): {instead}") from None
    except ValueError:
        raise DataError(f"What {entry['url']} sent has a wrong checksum: nothing was kept; try again later.") from None
    except OSError as error:
        raise DataError(
            f"The cache {cache_folder()} cannot be used ({error.strerror or type(error).__name__}): free or permit it, "
            "or name another folder in $BOOK_DATA_CACHE."
        ) from None
    return Path(path)


def fetch_all(entry: dict) -> dict[str, Path]:
    """Paths of the files of a downloaded set by their names, each as `fetch` finds and verifies it."""
    return {part["url"].rsplit("/", 1)[1]: fetch(part) for part in entry["files"]}


def verify() -> list[str]:
    """Names of the embedded sets, each checked on disk. Raises DataError for the first that is damaged."""
    from shared import data

    names = [name for name, entry in data.catalog().items() if entry["kind"] == "embedded"]
    for name in names:
        embedded(data.catalog()[name])
    return names
