"""Debian packages: names, descriptions, tags, sections and dependencies."""

import json
import lzma
from types import SimpleNamespace

from shared.data import embedded


def read(entry: dict) -> SimpleNamespace:
    """One list per column, all of one length; `depends` and `recommends` hold row numbers."""
    return SimpleNamespace(**json.loads(lzma.decompress(embedded(entry))))
