"""`make pilot PAPERS=...`: run a paper on pilot seeds and say which effects the planned seeds could detect.

Pilot seeds (100 and up) choose the regime and are never reported. The outcome is `results/pilot/<slug>.json`; an
earlier pilot of another regime stays in the file, with what it could have detected and WHY it was dropped.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime

from book.tools import BUILD, ROOT, BookError, cores
from book.tools.papers import keys
from book.tools.papers.notebooks import select
from book.tools.papers.registered import PILOTS, read_pilot
from book.tools.runs.plan import Run
from book.tools.runs.schedule import only_one, run_all
from shared import power
from shared.data import DataError
from shared.record import RecordError, claim_digest, claim_values, describe, read_record, write_json
from shared.scales import resolve_seeds

FIRST = 100  # the first pilot seed


def source_hash(slug: str) -> str:
    """Hash of a paper's computing source at `small`, whatever the seeds."""
    return keys.result_hash(slug, "small", [])


def summary(slug: str, record: dict) -> dict:
    """What a pilot's record says of each claim, for the seeds that are planned at `small`."""
    info, planned = describe(slug), describe(slug)["seeds"]["small"]
    claims = {}
    for claim in info["claims"]:
        if "small" in (claim.get("untestable") or {}):
            continue
        found = power.pilot_power(claim, claim_values(claim, record), planned)
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in found.items()}
        claims[claim["id"]] = {"digest": claim_digest(claim), "primary": bool(claim.get("primary")), **rounded}
    return claims


def file(slug: str, record: dict, why: str) -> dict:
    """The pilot file of a paper with a new pilot in it. Raises BookError where a dropped regime has no reason."""
    path = PILOTS / f"{slug}.json"
    old = read_pilot(slug) if path.exists() else None
    new = {
        "slug": slug,
        "source": source_hash(slug),
        "seeds": record["results"]["seeds"],
        "planned": describe(slug)["seeds"]["small"],
        "settings": record["results"]["settings"],
        "claims": summary(slug, record),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "dropped": list(old["dropped"]) if old else [],
    }
    if old and old["settings"] != new["settings"]:
        names = {*old["settings"], *new["settings"]}
        differ = [name for name in sorted(names) if not _same(old["settings"], new["settings"], name)]
        if not why:
            raise BookError(
                f"{slug} has a pilot of another regime ({', '.join(differ)} differ): say WHY=... it was dropped."
            )
        changed = {name: old["settings"][name] for name in differ if name in old["settings"]}
        kept = ("mean", "detectable", "limit", "powered")
        claims = {name: {k: claim[k] for k in kept if k in claim} for name, claim in old["claims"].items()}
        new["dropped"].append({"why": why, "settings": changed, "seeds": old["seeds"], "claims": claims})
    return new


def _same(old: dict, new: dict, name: str) -> bool:
    return name in old and name in new and old[name] == new[name]


def table(claims: dict) -> str:
    """The claims of a pilot as lines of text: mean, what can be detected, what is asked for."""
    lines = [f"  {'claim':<36} {'mean':>9} {'detectable':>11} {'limit':>8}"]
    for name, claim in claims.items():
        figures = [claim.get(k) for k in ("mean", "detectable", "limit")]
        shown = ["-" if v is None else f"{v:.3g}" for v in figures]
        word = "powered" if claim["powered"] else "NOT powered"
        lead = "*" if claim["primary"] else " "
        lines.append(f"{lead} {name:<36} {shown[0]:>9} {shown[1]:>11} {shown[2]:>8}  {word}")
    return "\n".join([*lines, "  (* primary: run it only where it is powered, or change the regime)"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--seeds", default="", help="a count of pilot seeds (5), or seeds from 100 up")
    parser.add_argument("--why", default="", help="why the regime of the pilot before was dropped")
    parser.add_argument("--cores", type=int, default=cores())
    args = parser.parse_args()
    try:
        if not args.papers.strip():
            raise BookError('Name the papers: make pilot PAPERS="elr top_two".')
        slugs = select(args.papers)
        os.environ.pop("BOOK_SEEDS", None)
        count = int(args.seeds) if args.seeds.strip().isdigit() and int(args.seeds) < FIRST else None
        seeds = list(range(FIRST, FIRST + (count or 5)))
        if args.seeds.strip() and count is None:
            os.environ["BOOK_SEEDS"] = args.seeds
            seeds = resolve_seeds(None, 5)
            del os.environ["BOOK_SEEDS"]
        if min(seeds) < FIRST or len(seeds) < 2:
            raise BookError(f"Pilot seeds are {FIRST} and up, two at least: others are reported, and must be unseen.")
        if BUILD == ROOT / "_build":
            raise BookError("Name a folder for these runs in $BOOK_BUILD, as `make pilot` does.")
        runs = [Run.of(slug, "small", seeds) for slug in slugs]
        with only_one() as lock:
            good = run_all(runs, args.cores, "local", lock)
        bad = []
        for run in runs:
            slug = run.slug
            if not run.is_fresh():
                continue
            new = file(slug, read_record(run.record), args.why)
            write_json(PILOTS / f"{slug}.json", new)
            print(f"\n{slug}: {len(seeds)} pilot seeds for {new['planned']} planned\n{table(new['claims'])}")
            bad += [name for name, claim in new["claims"].items() if claim["primary"] and not claim["powered"]]
        if bad:
            print(f"\nPrimary claims without power: {', '.join(bad)}.")
        return 0 if good else 1
    except (BookError, RecordError, DataError, OSError, ValueError, TypeError) as error:
        print(f"make pilot: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
