"""Which runs are out of date: decided by content, told to Snakemake through key files."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path

from book.tools import BUILD, ROOT
from book.tools.papers import keys
from book.tools.papers.notebooks import papers
from shared.record import RecordError, describe, read_record
from shared.scales import resolve_seeds

DEFAULT_SECONDS = 60.0
START = 8.0  # seconds that a kernel and its imports take


@dataclass(frozen=True)
class Run:
    """A run of a paper, and where all that belongs to it lies.

    Args:
        slug: the paper. scale: `smoke`, `small` or `full`. seeds: which.
        group: the seeds are one group of those that were asked for, whose records are merged: it lies aside from the
            runs that the site is built from.
    """

    slug: str
    scale: str
    seeds: tuple[int, ...]
    group: bool = False

    @classmethod
    def of(cls, slug: str, scale: str, seeds=None) -> Run:
        """The run of a paper: on the seeds that its yml asks for, or on others."""
        return cls(slug, scale, tuple(resolve_seeds(seeds, describe(slug)["seeds"][scale])))

    @classmethod
    def planned(cls, name: str, scale: str) -> Run | None:
        """The run of that name as its key file has it, None where none was planned."""
        try:
            key = json.loads(_key_path(name, scale).read_text(encoding="utf-8"))
            return cls(key["slug"], scale, tuple(key["seeds"]), group=name != key["slug"])
        except (FileNotFoundError, ValueError, KeyError):  # none, or cut off by a full disk
            return None

    @property
    def name(self) -> str:
        """`elr`, and of a group of seeds `elr+0-4`: names files and jobs, and is never taken apart again."""
        return f"{self.slug}+{self.seeds[0]}-{self.seeds[-1]}" if self.group else self.slug

    @functools.cached_property
    def folder(self) -> Path:
        return BUILD / ("seeds" if self.group else "runs") / self.scale / papers()[self.slug]

    @property
    def notebook(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def failure(self) -> Path:
        """Why it failed, where it did."""
        return self.folder / f"{self.name}.failure.json"

    @property
    def work(self) -> Path:
        """What it makes lies here until it is whole."""
        return BUILD / "work" / self.scale / self.name

    @property
    def key_path(self) -> Path:
        return _key_path(self.name, self.scale)

    def key(self) -> dict:
        return keys.key(self.slug, self.scale, self.seeds)

    def write_key(self) -> dict:
        """Write the key file where its content changed; the key."""
        wanted = self.key()
        text = json.dumps(wanted, indent=1) + "\n"
        if not self.key_path.exists() or self.key_path.read_text(encoding="utf-8") != text:
            self.key_path.parent.mkdir(parents=True, exist_ok=True)
            self.key_path.write_text(text, encoding="utf-8")
        return wanted

    def is_fresh(self) -> bool:
        """Whether it is there, whole, with a record that has the hashes of today's source, and these seeds and scale."""
        if not self.record.exists() or not is_whole(self.notebook):
            return False
        wanted = self.key()
        try:
            found = read_record(self.record)
        except RecordError:
            return False
        provenance, results = found["provenance"], found["results"]
        return (
            provenance["result_hash"] == wanted["result_hash"]
            and provenance.get("page_hash") == wanted["page_hash"]
            and results["seeds"] == wanted["seeds"]
            and results["scale"] == self.scale
        )

    def seconds(self) -> float:
        """How long it takes: at `small` what the accepted run took, at `full` what the yml expects; else a guess."""
        if self.scale == "full":
            info = describe(self.slug)
            return 3600 * info["cost"]["hours"] * len(self.seeds) / info["seeds"]["full"]
        try:
            small = read_record(ROOT / "results" / "small" / f"{self.slug}.json")["provenance"]["seconds"]
        except RecordError:
            small = DEFAULT_SECONDS
        return small if self.scale == "small" else START + small / 20


def _key_path(name: str, scale: str) -> Path:
    return BUILD / "keys" / scale / f"{name}.key"


def is_whole(notebook: Path) -> bool:
    """Whether an executed notebook is there to its last brace: a truncated one is run again."""
    try:
        with notebook.open("rb") as file:
            first = file.read(1)
            file.seek(max(0, notebook.stat().st_size - 16))
            return first == b"{" and file.read().rstrip().endswith(b"}")
    except OSError:
        return False


def finished(slug: str, scale: str) -> Run | None:
    """The run of a paper that was made last, on whatever seeds, where it is of today's source."""
    run = Run.planned(slug, scale)
    return run if run and run.is_fresh() else None


def plan(runs: list[Run]) -> list[Run]:
    """Runs that are out of date.

    Keys are written; runs that do not match their key are removed, and the key of one that does is dated
    before it. Snakemake, which compares dates, then does what the content says, in a fresh clone too.
    """
    stale = []
    for run in runs:
        run.write_key()
        if run.is_fresh():
            oldest = min(path.stat().st_mtime for path in (run.notebook, run.record))
            if run.key_path.stat().st_mtime >= oldest:
                os.utime(run.key_path, (oldest - 1, oldest - 1))
        else:
            for path in (run.notebook, run.record):
                path.unlink(missing_ok=True)
            stale.append(run)
    return stale
