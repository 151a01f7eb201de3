"""`make sync`: the generated cells of the .py files and every .ipynb, made anew where they differ."""

import sys

from book.tools import ROOT, BookError
from book.tools.papers.notebooks import papers, sync
from shared.record import RecordError


def main() -> int:
    try:
        changed = sync(list(papers()))
    except (BookError, RecordError) as error:
        print(f"make sync: {error}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"wrote {path.relative_to(ROOT)}")
    print(f"{len(papers())} papers are paired.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
