"""What was made from the same input is read back: parsed notebooks, thumbnails, plots. Deleting `_build/memo` costs time only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from book.tools import BUILD


def memo(kind: str, key: bytes, make: Callable[[], bytes]) -> bytes:
    """Content that `make` gives for `key`: made once, then read from disk.

    Args:
        kind: names the folder. key: everything that the content depends on, the maker's own version too.
        make: gives the content; called where it is not there yet.
    """
    path = BUILD / "memo" / kind / hashlib.sha256(key).hexdigest()[:32]
    try:
        content, digest = path.read_bytes().rsplit(b"\n", 1)
        if hashlib.sha256(content).hexdigest().encode() == digest:
            return content
    except (OSError, ValueError):
        pass
    content = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_bytes(content + b"\n" + hashlib.sha256(content).hexdigest().encode())
    os.replace(aside, path)
    return content
