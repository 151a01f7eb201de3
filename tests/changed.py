"""Which papers changed: what is dear is tried for these at once, and for all of them every week."""

import hashlib
import os
import subprocess

from book.tools import ROOT
from book.tools.papers.notebooks import papers


def _git(*words: str) -> str:
    """What git says, empty where it says nothing."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def base() -> str:
    """The commit to compare with: $BOOK_BASE, else where this branch left main, else the parent."""
    named = os.environ.get("BOOK_BASE", "")
    forked = _git("merge-base", "HEAD", "origin/main").strip()
    head = _git("rev-parse", "HEAD").strip()
    return named or (forked if forked != head else "") or "HEAD~1"


def touched(slug: str, files: list[str]) -> bool:
    """Whether one of the files is the paper's own: its notebook, its yml or its tests."""
    folder = f"notebooks/{papers()[slug]}"
    return not {f"{folder}/{slug}.py", f"{folder}/{slug}.yml", f"tests/papers/test_{slug}.py"}.isdisjoint(files)


def changed_papers(slugs: list[str], config) -> list[str]:
    """Papers, of those given, that a dear test is for: all that were asked for by name, all in the weekly run
    (BOOK_TESTS=all), else those that changed since `base`, those that are not committed, and one that the commit draws.
    """
    if config.getoption("--papers") or os.environ.get("BOOK_TESTS") == "all":
        return slugs
    files = _git("diff", "--name-only", base()).splitlines()
    found = [slug for slug in slugs if touched(slug, files)]
    rest = [slug for slug in slugs if slug not in found]
    commit = _git("rev-parse", "HEAD")
    drawn = sorted(rest, key=lambda slug: hashlib.sha256((commit + slug).encode()).hexdigest())[:1]
    return [slug for slug in slugs if slug in found + drawn]
