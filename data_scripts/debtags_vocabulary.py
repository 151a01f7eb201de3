"""Make debtags_vocabulary.txt: names and definitions of Debian's package tags."""

from __future__ import annotations

from pathlib import Path

from common import SNAPSHOT, Input, fetch, main

FILE = "debtags_vocabulary.txt"
INPUT = Input(
    "vocabulary",
    "1bb8d6e8f8aafeb9d14f99ccb45e00ed3d4a2879ceedc736e08dcdea5b3e8c89",
    urls=(f"{SNAPSHOT}/pool/main/d/debtags/debtags_2.1.5_all.deb",),
    deb="debtags",
    deb_path="usr/share/debtags/vocabulary",
)


def build(source: Path | None) -> bytes:
    return fetch(INPUT, source)


if __name__ == "__main__":
    main(FILE, __doc__, build)
