"""Compare the runs at `small` with the accepted records: exit code 1 where a verdict changed or a run is missing."""

from __future__ import annotations

import sys

from book.tools import plan as planning
from book.tools.pages import accepted
from shared.paper import RecordError, describe, effect_text, read_record, verdicts

SLOW = 1.5  # times the accepted time


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
    return [slug, str(changed), str(outside), f"{ratio:.2f}"], said


def main() -> int:
    table, said = [["paper", "verdicts changed", "effects outside", "time"]], []
    for slug, old in accepted().items():
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


if __name__ == "__main__":
    sys.exit(main())
