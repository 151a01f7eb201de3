"""Compare the runs at `small` with the accepted records: exit code 1 where a verdict changed."""

from __future__ import annotations

import sys

from book.tools import plan as planning
from book.tools.pages import accepted
from shared.paper import RecordError, describe, effect_text, read_record, verdicts


def main() -> int:
    changed = 0
    for slug, old in accepted().items():
        try:
            new = read_record(planning.outputs("small", slug)[1])
        except RecordError:
            print(f"{slug}: no run at small; run make book")
            changed += 1
            continue
        if new["results"] == old["results"]:
            print(f"{slug}: the same to the bit")
            continue
        info = describe(slug)
        before, after = verdicts(info, old), verdicts(info, new)
        for claim in info["claims"]:
            a, b = before[claim["id"]], after[claim["id"]]
            if a.verdict != b.verdict:
                changed += 1
                print(
                    f"{slug}: {claim['id']}: {a.verdict} -> {b.verdict} ({effect_text(claim, a)} -> {effect_text(claim, b)})"
                )
            elif a.low is not None and b.effect is not None and not a.low <= b.effect <= a.high:
                print(
                    f"{slug}: {claim['id']}: {effect_text(claim, b)} lies outside the accepted {effect_text(claim, a)}"
                )
        slower = new["provenance"]["seconds"] / max(old["provenance"]["seconds"], 1.0)
        if slower > 1.5:
            print(f"{slug}: took {slower:.1f} times as long")
    print(f"{changed} verdicts changed." if changed else "No verdict changed.")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
