"""`make drift`: run at `small` again and compare with the accepted records; exit code 1 where a verdict changed or a run is missing.

The runs lie in a build folder of their own (`_build/drift`), so that runs of the same source, which `make book` would
take as they are, are made anew: what drifts beneath the source are versions and machines. A drift that was killed goes
on with what was finished. `python -m book.tools.upkeep.drift` alone compares the runs that are there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter

from book.tools import BUILD, ROOT, BookError, cores
from book.tools.papers.notebooks import select
from book.tools.runs.plan import Run
from book.tools.runs.schedule import only_one, run_all
from book.tools.site.verdicts import accepted
from shared import power
from shared.claims import HOLDS, NOT_SEEN, REFUTED, REVERSED, TRIVIAL, judge
from shared.data import DataError
from shared.record import RecordError, claim_values, describe, read_record, verdicts
from shared.show import effect_text

SLOW = 1.5  # times the accepted time
DONE = BUILD / "compared"  # the runs of a drift have served


def alike(old: dict, new: dict) -> bool:
    """Whether two runs, by their provenance, had the same processor model and versions: then they agree to the bit."""
    return all(old.get(name) == new.get(name) for name in ("versions", "device_print"))


# Verdicts that no rounding turns into each other.
FAR = [{HOLDS, NOT_SEEN}, {HOLDS, REVERSED}, {HOLDS, REFUTED}, {TRIVIAL, REVERSED}]


def strays(claim: dict, old: dict, new: dict) -> bool:
    """Whether a new effect lies outside the 95 % prediction interval that the accepted run gives for a second run.

    Args:
        old, new: the claim's values, as `record.claim_values` gives them; of a claim for every arm each arm counts, at
            5 % over all of them.
    """
    before, after = old.get("arms", {"": old}), new.get("arms", {"": new})
    level = 1 - 0.05 / len(before)
    for arm in before.keys() & after.keys():
        span = power.prediction(claim, before[arm], level)
        effect = judge(claim, after[arm]).effect
        if span is not None and not span[0] <= effect <= span[1]:
            return True
    return before.keys() != after.keys()


def changes(slug: str, old: dict, new: dict) -> list[tuple[str, str]]:
    """What a new record says that the accepted one does not: (what it is, sentence).

    "verdict": it turned, from holds to reversed or not seen or back, or on the same processor and versions in any way.
    "border": it moved to or from its neighbour on another processor or other versions, which round differently, so that
    training takes another path. "effect": it left the interval in which a second run is expected. "time": a timed claim moved
    within that interval, as times do.
    """
    info, found = describe(slug), []
    before, after = verdicts(info, old), verdicts(info, new)
    same = alike(old["provenance"], new["provenance"])
    for claim in info["claims"]:
        a, b = before[claim["id"]], after[claim["id"]]
        effects = f"{effect_text(claim, a)} -> {effect_text(claim, b)}"
        outside = a.low is not None and strays(claim, claim_values(claim, old), claim_values(claim, new))
        if outside:
            found.append(("effect", f"{slug}: {claim['id']}: the effect left its prediction interval ({effects})"))
        if a.verdict != b.verdict:
            # Times differ from run to run on one machine too: they are judged by their interval.
            to_the_bit = same and not claim.get("timed")
            far = to_the_bit or outside or claim["kind"] == "exact" or {a.verdict, b.verdict} in FAR
            kind = "verdict" if far else "time" if claim.get("timed") else "border"
            words = "" if far else ", at the border of the two"
            found.append((kind, f"{slug}: {claim['id']}: {a.verdict} -> {b.verdict}{words} ({effects})"))
    return found


def circumstances(old: dict, new: dict) -> list[str]:
    """What may have moved the numbers: versions, hardware and source that are not those of the accepted record."""
    pairs = {name: (old["versions"].get(name), new["versions"].get(name)) for name in ("python", "torch", "numpy")}
    pairs["result_hash"] = (old["result_hash"], new["result_hash"])
    hardware = "device_name" if old.get("device_name") != new.get("device_name") else "device_print"
    pairs[hardware] = (old.get(hardware), new.get(hardware))
    return [f"{name} was {a}, is {b}" for name, (a, b) in pairs.items() if a != b]


def report(slugs: list[str], across: bool = False) -> int:
    """Print the table and what to say of it.

    Returns:
        1 where a verdict changed or a run is missing; with `across`, where a verdict turned, an effect left its
        prediction interval, or a run is missing.
    """
    table, said, why, bad = [["paper", "verdicts changed", "at the border", "effects outside", "time"]], [], {}, []
    for slug, old in accepted().items():
        if slug not in slugs:
            continue
        try:
            new = read_record(Run.of(slug, "small").record)
        except RecordError:
            table.append([slug, "no run", "", "", ""])
            said.append(f"{slug}: there is no run at small: say make book PAPERS={slug}")
            bad.append(slug)
            continue
        ratio = new["provenance"]["seconds"] / max(old["provenance"]["seconds"], 1.0)
        if ratio > SLOW:
            said.append(f"{slug}: took {ratio:.2f} times as long as the accepted run")
        found = changes(slug, old, new)  # of times too, which are no part of the results
        if new["results"] == old["results"] and not found:
            table.append([slug, "same to the bit", "", "", f"{ratio:.2f}"])
            continue
        said += [sentence for _, sentence in found]
        count = Counter(kind for kind, _ in found)
        moved = str(count["verdict"] + count["border"])
        table.append([slug, moved, str(count["border"]), str(count["effect"]), f"{ratio:.2f}"])
        if count["verdict"] or count["effect" if across else "border"]:
            bad.append(slug)
        for line in circumstances(old["provenance"], new["provenance"]):
            why.setdefault(line, []).append(slug)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    said += [f"{line} ({', '.join(papers)})" for line, papers in why.items()]
    if said:
        print("", *said, sep="\n")
    what = "turned" if across else "changed"
    print(f"\n{len(bad)} papers {what} a verdict or were not run." if bad else f"\nNo verdict {what}.")
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--cores", type=int, default=cores())
    parser.add_argument("--again", action="store_true", help="run them first, in the folder that $BOOK_BUILD names")
    parser.add_argument("--across", action="store_true", help="let verdicts at their border differ on another machine")
    args = parser.parse_args()
    try:
        slugs = select(args.papers)
        if args.again:
            if BUILD == ROOT / "_build":
                raise BookError("Name a folder for these runs in $BOOK_BUILD, as `make drift` does.")
            if DONE.exists():
                shutil.rmtree(BUILD)
            with only_one() as lock:
                run_all([Run.of(slug, "small") for slug in slugs], args.cores, "local", lock)
        code = report(slugs, args.across)
        if args.again:
            DONE.touch()
        return code
    except (BookError, DataError, OSError, ValueError) as error:
        print(f"make drift: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
