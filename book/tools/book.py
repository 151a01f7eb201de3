"""`make book`: run what is out of date, build the site, end with the verdicts and the path to open."""

from __future__ import annotations

import argparse
import os
import sys
import time

from book.tools import BookError
from book.tools import cores as usable
from book.tools.papers.notebooks import select
from book.tools.runs import merge
from book.tools.runs.plan import Run
from book.tools.runs.schedule import check_profile, only_one, run_all
from book.tools.site.verdicts import tally
from shared import data
from shared.record import RecordError, describe, read_record, verdicts
from shared.scales import resolve_scale, resolve_seeds
from shared.show import effect_text, verdict_text


def summary(records: dict[str, dict]) -> str:
    """Table of verdicts, and every claim with its effect."""
    lines = []
    for slug, record in records.items():
        info = describe(slug)
        outcomes = verdicts(info, record)
        lines.append(f"\n{slug} ({info['fidelity']}, {record['provenance']['seconds']:.0f} s): {tally(info, outcomes)}")
        for claim in info["claims"]:
            outcome = outcomes[claim["id"]]
            lines.append(f"  {claim['id']:<34} {effect_text(claim, outcome):<34} {verdict_text(claim, outcome)}")
    return "\n".join(lines)


def make(names: str = "", scale: str | None = None, seeds=None, cores: int | None = None, site: bool = True,
         profile: str = "local") -> int:  # fmt: skip
    """Run and build. Returns the exit code: 1 where a notebook failed.

    With `seeds` given they run in groups, and at `full` on a cluster one by one; then records are merged, and no site
    is built.
    """
    start = time.monotonic()
    scale, slugs, cores = resolve_scale(scale), select(names), cores or usable()
    check_profile(profile)
    if seeds is not None:
        os.environ.pop("BOOK_SEEDS", None)
    with only_one() as lock:
        apart = seeds is not None or merge.by_seed(scale, profile)
        groups = {slug: merge.group_runs(slug, scale, seeds) for slug in slugs} if apart else {}
        runs = (
            [part for parts in groups.values() for part in parts] if apart else [Run.of(slug, scale) for slug in slugs]
        )
        if not run_all(runs, cores, profile, lock):
            if site:
                print("No site was built.", file=sys.stderr)
            return 1
        page = None
        if groups:
            written = {
                slug: merge.write(scale, slug, [read_record(part.record) for part in parts])
                for slug, parts in groups.items()
            }
            print(summary({slug: record for slug, (_, record) in written.items()}))
            for slug, (path, record) in written.items():
                count, jobs = len(record["results"]["seeds"]), len(groups[slug])
                print(f"\n{slug}: {count} seed{'s' * (count > 1)} in {jobs} group{'s' * (jobs > 1)}; what a notebook "
                      f"tunes over its seeds it tuned within each group. Merged record: {path}")  # fmt: skip
            print(f"The site stays as it is.\nDone in {time.monotonic() - start:.1f} s.")
            return 0
        if site:
            from book.tools.site.build import build

            page = build(scale, slugs)
        print(summary({run.slug: read_record(run.record) for run in runs}))
    if page:
        print(f"\nOpen {page}")
    print(f"Done in {time.monotonic() - start:.1f} s.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--scale", default="")
    parser.add_argument("--seeds", default="")
    parser.add_argument("--cores", type=int)
    parser.add_argument("--profile", default="local", help="folder of profiles/: local or slurm")
    parser.add_argument("--no-site", action="store_true")
    args = parser.parse_args()
    try:
        if args.seeds:
            os.environ["BOOK_SEEDS"] = args.seeds
        seeds = resolve_seeds(None, 1) if args.seeds else None
        return make(
            args.papers, args.scale or None, seeds, args.cores, site=not args.no_site, profile=args.profile or "local"
        )
    except (BookError, RecordError, data.DataError, OSError, ValueError, TypeError) as error:
        print(f"make book: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
