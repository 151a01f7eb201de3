"""`make drift`: run at `small` again and compare with the accepted records; exit code 1 where a verdict changed or a run is missing.

The runs lie in a build folder of their own (`_build/drift`), so that runs of the same source, which `make book` would
take as they are, are made anew: what drifts beneath the source are versions and machines. A drift that was killed goes
on with what was finished. `python -m book.tools.drift` alone compares the runs that are there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from book.tools import BUILD, ROOT, BookError
from book.tools import plan as planning
from book.tools.book import only_one, run
from book.tools.notebooks import select
from book.tools.pages import accepted
from shared.data import DataError
from shared.paper import RecordError, describe, effect_text, read_record, verdicts

SLOW = 1.5  # times the accepted time
DONE = BUILD / "compared"  # the runs of a drift have served


def compare(slug: str, old: dict) -> tuple[list[str], list[str]]:
    """A row of the table (verdicts that changed, effects outside the accepted interval, time), and what to say of it."""
    try:
        new = read_record(planning.outputs("small", slug)[1])
    except RecordError:
        return [slug, "no run", "", ""], [f"{slug}: there is no run at small: say make book PAPERS={slug}"]
    ratio = new["provenance"]["seconds"] / max(old["provenance"]["seconds"], 1.0)
    said = [f"{slug}: took {ratio:.2f} times as long as the accepted run"] if ratio > SLOW else []
    if new["results"] == old["results"]:
        return [slug, "same to the bit", "0", f"{ratio:.2f}"], said
    info, changed, outside = describe(slug), 0, 0
    before, after = verdicts(info, old), verdicts(info, new)
    for claim in info["claims"]:
        a, b = before[claim["id"]], after[claim["id"]]
        if a.verdict != b.verdict:
            changed += 1
            effects = f"{effect_text(claim, a)} -> {effect_text(claim, b)}"
            said.append(f"{slug}: {claim['id']}: {a.verdict} -> {b.verdict} ({effects})")
        elif a.low is not None and b.effect is not None and not a.low <= b.effect <= a.high:
            outside += 1
            said.append(
                f"{slug}: {claim['id']}: {effect_text(claim, b)} lies outside the accepted {effect_text(claim, a)}"
            )
    said += [f"{slug}: {line}" for line in circumstances(old["provenance"], new["provenance"])]
    return [slug, str(changed), str(outside), f"{ratio:.2f}"], said


def circumstances(old: dict, new: dict) -> list[str]:
    """What may have moved the numbers: versions, hardware and source that are not those of the accepted record."""
    pairs = {name: (old["versions"].get(name), value) for name, value in new["versions"].items()}
    pairs |= {name: (old.get(name), new.get(name)) for name in ("device_name", "device_print", "result_hash")}
    return [f"{name} was {a}, is {b}" for name, (a, b) in pairs.items() if a != b]


def report(slugs: list[str]) -> int:
    """Print the table and what to say of it; the exit code."""
    table, said = [["paper", "verdicts changed", "effects outside", "time"]], []
    for slug, old in accepted().items():
        if slug in slugs:
            row, more = compare(slug, old)
            table.append(row)
            said += more
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if said:
        print("", *said, sep="\n")
    changed = sum(row[1] not in ("0", "same to the bit") for row in table[1:])
    print(f"\n{changed} papers changed a verdict or were not run." if changed else "\nNo verdict changed.")
    return 1 if changed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="run them first, in the folder that $BOOK_BUILD names")
    args = parser.parse_args()
    try:
        slugs = select(args.papers)
        if args.again:
            if BUILD == ROOT / "_build":
                raise BookError("Name a folder for these runs in $BOOK_BUILD, as `make drift` does.")
            if DONE.exists():
                shutil.rmtree(BUILD)
            with only_one() as lock:
                run("small", slugs, None, args.cores, "local", lock)
        code = report(slugs)
        if args.again:
            DONE.touch()
        return code
    except (BookError, RecordError, DataError, OSError) as error:
        print(f"make drift: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
