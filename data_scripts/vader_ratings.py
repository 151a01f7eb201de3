"""Make vader_ratings.npz: crowd ratings of 23,703 short texts, without the texts.

The input is the source distribution vaderSentiment-3.3.2.tar.gz, which pip fetches.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import ROOT, DataError, Input, fetch, main, pack_npz

sys.path.insert(0, str(ROOT))
from shared.data import vader_texts

FILE = "vader_ratings.npz"
SDIST = Input(
    "vaderSentiment-3.3.2.tar",
    "8353b65dcbd457582c31ffc575d48a0bd2bf0d49cb4aa4142dde6c18e3a3a996",
    pip=vader_texts.PACKAGE,
    hint="put vaderSentiment-3.3.2.tar.gz into a folder and name that with --source",
)
PER_HIT = 30  # the movie snippets were rated in blocks of 30, each by one set of people in one order


def build(source: Path | None) -> bytes:
    rows = vader_texts.parse(fetch(SDIST, source))
    domains = list(vader_texts.FILES)
    if [d for d in domains if not any(row[0] == d for row in rows)] or any(not row[3] for row in rows):
        raise DataError("A domain or a row without ratings: this is not the expected archive.")
    movies = sum(row[0] == "movie" for row in rows)
    hit = [i // PER_HIT if i < movies else -1 for i in range(len(rows))]
    return pack_npz(
        {
            "domains": np.array(domains),
            "domain": np.array([domains.index(row[0]) for row in rows], np.int8),
            "id": np.array([row[1] for row in rows]),
            "hit": np.array(hit, np.int16),
            "raters": np.array([len(row[3]) for row in rows], np.uint8),
            "ratings": np.array([r for row in rows for r in row[3]], np.int8),
        }
    )


if __name__ == "__main__":
    main(FILE, __doc__, build)
