"""What was made from the same input is read back: parsed notebooks, thumbnails, plots. Deleting `_build/memo` costs time only."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from book.tools import BUILD


@functools.cache
def _version(maker: str) -> bytes:
    return f"{sys.version}\n{Path(maker).read_text(encoding='utf-8')}\n".encode()


def memo(kind: str, maker: str, key: str | bytes, make: Callable[[], bytes]) -> bytes:
    """Content that `make` gives for `key`: made once, then read from disk.

    Args:
        kind: names the folder. maker: the module that makes it, `__file__`: an edit of it makes everything anew.
        key: all else that the content depends on. make: gives the content; called where it is not there yet.
    """
    key = key.encode() if isinstance(key, str) else key
    path = BUILD / "memo" / kind / hashlib.sha256(_version(maker) + key).hexdigest()[:32]
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
