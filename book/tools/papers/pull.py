"""`make pull NOTEBOOK=...`: bring edits of a committed .ipynb back into the .py, cell by cell, and lose neither side.

The .ipynb keeps a digest of every cell as `make sync` wrote it, so that it is known which side edited what. A cell that
both sides edited is refused and shown, and nothing is written then.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

import jupytext
import nbformat

from book.tools import BookError
from book.tools.papers.notebooks import BADGE, cell_digest, cell_digests, notebook, source, sync
from book.tools.papers.notebooks import edited as read_edited
from book.tools.papers.plain import CAPTION, plain, with_myst, without_myst
from shared.record import RecordError


def aligned(old: list[str], new: list[str]) -> dict[int, int]:
    """Which entry of `new` each entry of `old` became; entries without another side are left out."""
    pairs: dict[int, int] = {}
    for what, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what in ("equal", "replace"):
            pairs.update(zip(range(a, b), range(c, d)))
    return pairs


def _back(slug: str, cell) -> str:
    """A cell's text as the .py has it. Raises BookError where it cannot be mapped back."""
    if cell.cell_type != "markdown":
        return cell.source.rstrip()
    body = with_myst(cell.source)
    again = without_myst(body).strip()
    wanted = CAPTION.sub("", cell.source).strip()
    if again != wanted:
        lines = "\n".join(
            difflib.unified_diff(wanted.splitlines(), again.splitlines(), "edited", "pulled", lineterm="")
        )
        raise BookError(f"{slug}: an edit cannot be mapped back into the .py; nothing was changed:\n{lines}")
    return body


def pull(slug: str, edited: Path | None = None) -> list[str]:
    """Write the edits of an .ipynb into the .py; what was done, a line a cell.

    Args:
        slug: the paper. edited: another file than the committed .ipynb, such as a download from Colab.

    Raises:
        BookError: the file is no notebook, a cell was edited on both sides, or an edit cannot be mapped back.
    """
    py = source(slug)
    ipynb = edited or py.with_suffix(".ipynb")
    text = py.read_text(encoding="utf-8")
    try:
        book = read_edited(ipynb.read_text(encoding="utf-8"))
    except Exception as error:
        raise BookError(f"{ipynb} cannot be read as a notebook ({error}): nothing was changed.") from None
    theirs = [c for c in book.cells if BADGE not in c.source and c.source.strip()]
    mine, shown = notebook(text).cells, plain(notebook(text))
    ours, new = cell_digests(shown), [cell_digest(c) for c in theirs]
    base = list(book.metadata.get("book", {}).get("cells") or ours)
    to_mine, to_theirs = aligned(base, ours), aligned(base, new)
    from_mine = {i: b for b, i in to_mine.items()}
    done: list[str] = []
    result: list = []
    spot: dict[int, int] = {}  # their cell -> place in the result

    def first(cell) -> str:
        return cell.source.strip().splitlines()[0][:60]

    def conflict(cell, i: int | None):
        here = shown.cells[i].source if i is not None else "(removed)"
        raise BookError(
            f"{slug}: a cell was edited in the .py and in the .ipynb; nothing was changed. Settle it by hand:\n"
            f"--- .ipynb\n{cell.source if cell is not None else '(removed)'}\n--- .py\n{here}"
        )

    for i, cell in enumerate(mine):
        b = from_mine.get(i)
        j = to_theirs.get(b) if b is not None else None
        pending = b is None or ours[i] != base[b]
        if b is not None and j is None:
            if pending:
                conflict(None, i)
            done.append(f"removed: {first(cell)}")
            continue
        if j is not None:
            spot[j] = len(result)
            if new[j] not in (base[b], ours[i]):
                if pending:
                    conflict(theirs[j], i)
                if {"card", "setup"} & set(cell.metadata.get("tags", [])):
                    raise BookError(f"{slug}: the {cell.metadata['tags'][0]} cell is generated: edit the yml instead.")
                if theirs[j].cell_type != cell.cell_type:
                    raise BookError(f"{slug}: the cell {first(cell)!r} changed its kind: change that in the .py.")
                cell.source = _back(slug, theirs[j])
                done.append(f"edited: {first(cell)}")
        result.append(cell)
    for b, j in to_theirs.items():
        if b not in to_mine and new[j] != base[b]:
            conflict(theirs[j], None)
    known, inserted = set(to_theirs.values()), 0
    for j, cell in enumerate(theirs):
        if j in known:
            continue
        make = nbformat.v4.new_markdown_cell if cell.cell_type == "markdown" else nbformat.v4.new_code_cell
        added = make(_back(slug, cell))
        if cell.metadata.get("tags"):
            added.metadata["tags"] = list(cell.metadata["tags"])
        place = max((spot[k] for k in spot if k < j), default=-1) + 1 + inserted
        result.insert(place, added)
        inserted += 1
        done.append(f"added: {first(added)}")
    if done:
        whole = notebook(text)
        whole.cells = result
        made = jupytext.writes(whole, fmt="py:percent")
        py.write_text(text[: text.index("# %%")] + made[made.index("# %%") :], encoding="utf-8")
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", help="a paper's slug, or the path of an edited .ipynb of that name")
    args = parser.parse_args()
    try:
        path = Path(args.notebook)
        own = source(path.stem).with_suffix(".ipynb")
        given = path if path.suffix == ".ipynb" and path.resolve() != own.resolve() else None
        done = pull(path.stem, given)
        if given is None and own.exists():
            own.unlink()  # its edits are in the .py now
        sync([path.stem])
        print("\n".join(done) or "Nothing was edited.")
        return 0
    except (BookError, RecordError, OSError, ValueError) as error:
        print(f"make pull: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
