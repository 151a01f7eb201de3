"""Which runs are out of date: decided by content, told to Snakemake through key files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from book.tools import BUILD, ROOT
from book.tools.keys import key
from book.tools.notebooks import papers
from shared.record import RecordError, read_record

DEFAULT_SECONDS = 60.0


def slug_of(run: str) -> str:
    """Paper of a run: a run is named by its paper, or paper and seeds (`elr+0-4`) where seeds are run in groups."""
    return run.split("+")[0]


def folder(scale: str, run: str) -> Path:
    return BUILD / ("seeds" if "+" in run else "runs") / scale / papers()[slug_of(run)]


def key_path(scale: str, slug: str) -> Path:
    return BUILD / "keys" / scale / f"{slug}.key"


def read_key(scale: str, slug: str) -> dict:
    return json.loads(key_path(scale, slug).read_text(encoding="utf-8"))


def outputs(scale: str, slug: str) -> tuple[Path, Path]:
    """Executed notebook and record of a run."""
    return folder(scale, slug) / f"{slug}.ipynb", folder(scale, slug) / f"{slug}.json"


def write_key(scale: str, slug: str, seeds=None) -> dict:
    """Write the key file of a run where its content changed; the key."""
    wanted = key(slug_of(slug), scale, seeds)
    path, text = key_path(scale, slug), json.dumps(wanted, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return wanted


def is_whole(notebook: Path) -> bool:
    """Whether an executed notebook is there to its last brace: a truncated one is run again."""
    try:
        with notebook.open("rb") as file:
            first = file.read(1)
            file.seek(max(0, notebook.stat().st_size - 16))
            return first == b"{" and file.read().rstrip().endswith(b"}")
    except OSError:
        return False


def is_fresh(scale: str, slug: str, seeds=None) -> bool:
    """Whether a whole run is there whose record has the hashes of today's source, and seeds and scale as asked."""
    notebook, record = outputs(scale, slug)
    if not record.exists() or not is_whole(notebook):
        return False
    wanted = key(slug_of(slug), scale, seeds if seeds is not None else read_key(scale, slug)["seeds"])
    try:
        found = read_record(record)
    except RecordError:
        return False
    results = found["results"]
    return (
        found["provenance"]["result_hash"] == wanted["result_hash"]
        and found["provenance"].get("page_hash") == wanted["page_hash"]
        and results["seeds"] == wanted["seeds"]
        and results["scale"] == scale
    )


def plan(scale: str, slugs: list[str], seeds=None) -> list[str]:
    """Runs that are out of date; `seeds` for all, or a dict by run.

    Keys are written; runs that do not match their key are removed, and the key of one that does is dated
    before it. Snakemake, which compares dates, then does what the content says, in a fresh clone too.
    """
    stale = []
    for slug in slugs:
        write_key(scale, slug, seeds[slug] if isinstance(seeds, dict) else seeds)
        if is_fresh(scale, slug):
            oldest = min(path.stat().st_mtime for path in outputs(scale, slug))
            if key_path(scale, slug).stat().st_mtime >= oldest:
                os.utime(key_path(scale, slug), (oldest - 1, oldest - 1))
        else:
            for path in outputs(scale, slug):
                path.unlink(missing_ok=True)
            stale.append(slug)
    return stale


def seconds(slug: str) -> float:
    """How long a run at `small` took, from the accepted record; a guess where there is none."""
    try:
        return read_record(ROOT / "results" / "small" / f"{slug_of(slug)}.json")["provenance"]["seconds"]
    except RecordError:
        return DEFAULT_SECONDS
