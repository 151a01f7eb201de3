"""Registration: that a paper's claims stood in a commit, and had a pilot, before their record was accepted."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import yaml

from book.tools import ROOT, BookError
from book.tools.papers.notebooks import source
from shared.record import describe, registration

PILOTS = ROOT / "results" / "pilot"


def read_pilot(slug: str) -> dict | None:
    """The pilot file of a paper, None where there is none."""
    path = PILOTS / f"{slug}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BookError(f"{path} is no pilot file ({error}): restore it, or run make pilot PAPERS={slug}.") from None


def _git(*words: str) -> str:
    # Called from a hook, git's own variables name another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, env=env).stdout


def claims_at(commit: str, slug: str) -> dict[str, str] | None:
    """Digests of the claims as a commit has them; None where it has no such yml, or another edition of it."""
    path = source(slug).with_suffix(".yml").relative_to(ROOT).as_posix()
    try:
        info = yaml.safe_load(_git("show", f"{commit}:{path}"))
        return registration(info)
    except (OSError, subprocess.CalledProcessError, yaml.YAMLError, KeyError, TypeError):
        return None


def commit_of_claims(slug: str) -> str | None:
    """The oldest commit since which the claims stand as they are today; None where they are not committed."""
    today, path = registration(describe(slug)), source(slug).with_suffix(".yml").relative_to(ROOT).as_posix()
    try:
        commits = _git("log", "--format=%h", "--abbrev=10", "--", path).split()
    except (OSError, subprocess.CalledProcessError):
        return None
    if claims_at("HEAD", slug) != today:
        return None
    found = None
    for commit in commits:
        if claims_at(commit, slug) != today:
            break
        found = commit
    return found


def changed(slug: str, old: dict | None) -> list[str]:
    """Claims that came or changed after the first accepted record of the paper.

    Args:
        old: the accepted record so far. One of before registration is compared through the commit of its run.
    """
    if old is None:
        return []
    today = registration(describe(slug))
    stood = old["provenance"].get("registration")
    if stood is None:
        before = claims_at(old["provenance"]["commit"] or "", slug) or {}
        return sorted(name for name, digest in today.items() if before.get(name) != digest)
    late = set(stood.get("changed") or [])
    late |= {name for name, digest in today.items() if stood["claims"].get(name) != digest}
    return sorted(late & set(today))


def digest(pilot: dict) -> str:
    return hashlib.sha256(json.dumps(pilot, sort_keys=True).encode()).hexdigest()[:12]


def complete(slug: str, new: dict, old: dict | None, pilot: dict | None) -> dict:
    """A new record with its registration.

    Args:
        new: the record to accept. old: the accepted one so far. pilot: the paper's pilot file.

    Raises:
        BookError: the claims are not committed, or a claim tested at `small` has no pilot in this regime.
    """
    info, results = describe(slug), new["results"]
    commit = commit_of_claims(slug)
    if commit is None:
        raise BookError(
            f"{slug}: its claims are not committed as they are: commit {slug}.yml first, so that they stand before "
            "the numbers do."
        )
    if results["scale"] == "small":
        if pilot is None:
            raise BookError(f"{slug} has no pilot: run make pilot PAPERS={slug} and commit results/pilot/{slug}.json.")
        tested = {name: d for name, d in registration(info).items() if name in _tested(info)}
        missing = [name for name, d in tested.items() if pilot["claims"].get(name, {}).get("digest") != d]
        if missing:
            raise BookError(f"{slug}: its pilot knows other claims than {', '.join(missing)}: run make pilot again.")
        if pilot["settings"] != results["settings"]:
            raise BookError(f"{slug}: its pilot ran in another regime: run make pilot PAPERS={slug} again.")
        weak = [name for name in tested if pilot["claims"][name]["primary"] and not pilot["claims"][name]["powered"]]
        if weak:
            raise BookError(
                f"{slug}: {', '.join(weak)} cannot be decided by {len(results['seeds'])} seeds, says the pilot: change "
                "the regime, or declare the claim untestable at small."
            )
    known = {
        "claims": registration(info),
        "pilot": digest(pilot) if pilot else None,
        "commit": commit,
        "changed": changed(slug, old),
    }
    return {**new, "provenance": {**new["provenance"], "registration": known}}


def _tested(info: dict) -> set[str]:
    return {claim["id"] for claim in info["claims"] if "small" not in (claim.get("untestable") or {})}
