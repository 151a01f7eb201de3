"""`make notebook PART=... SLUG=...`: the files of a new paper, which run as they are."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

from book.tools import ROOT, BookError
from book.tools.papers.notebooks import PARTS, papers, sync

TEMPLATE = Path(__file__).parent / "template"


def create(part: str, slug: str) -> list[Path]:
    """Write .py, .ipynb and .yml, the toc entry and the bibliography stub; the paths."""
    if part not in PARTS:
        raise BookError(f"Unknown part {part!r}: choose from {', '.join(PARTS)}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug):
        raise BookError(f"{slug!r} is no slug: start with a letter, then small letters, digits and underscores.")
    if slug in papers():
        raise BookError(f"There is a paper {slug!r} already: choose another slug.")
    folder = ROOT / "notebooks" / part
    folder.mkdir(parents=True, exist_ok=True)
    words = {"@SLUG@": slug, "@PART@": part, "@TITLE@": slug.replace("_", " ").capitalize(), "@SHORT@": slug[:24]}
    made = []
    for name, target in (("notebook.py.txt", f"{slug}.py"), ("paper.yml", f"{slug}.yml")):
        text = (TEMPLATE / name).read_text(encoding="utf-8")
        for mark, word in words.items():
            text = text.replace(mark, word)
        (folder / target).write_text(text, encoding="utf-8")
        made.append(folder / target)
    add_to_toc(part, slug)
    bib = ROOT / "book" / "references.bib"
    stub = f"\n@misc{{{slug},\n  title = {{{words['@TITLE@']}}},\n  author = {{Author, First and Author, Second}},\n  year = {{2020}}\n}}\n"
    bib.write_text((bib.read_text(encoding="utf-8") if bib.exists() else "") + stub, encoding="utf-8")
    sync([slug])
    return [*made, folder / f"{slug}.ipynb", ROOT / "_toc.yml", bib]


def add_to_toc(part: str, slug: str) -> None:
    """Append the paper to its part of _toc.yml; a part's first paper brings the part and its introduction."""
    path = ROOT / "_toc.yml"
    toc = yaml.safe_load(path.read_text(encoding="utf-8"))
    entry, intro = {"file": f"notebooks/{part}/{slug}"}, {"file": f"book/parts/{part}"}
    for section in toc["parts"]:
        if intro in section["chapters"]:
            section["chapters"].append(entry)
            break
    else:
        order = list(PARTS)
        here = [i for i, s in enumerate(toc["parts"]) if s["chapters"][0]["file"].startswith("book/parts/")]
        later = [
            i for i in here if order.index(toc["parts"][i]["chapters"][0]["file"].split("/")[-1]) > order.index(part)
        ]
        place = later[0] if later else (here[-1] + 1 if here else 1)
        toc["parts"].insert(place, {"caption": PARTS[part], "chapters": [intro, entry]})
        page = ROOT / "book" / "parts" / f"{part}.md"
        if not page.exists():
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(
                f"# {PARTS[part]}\n\nWhat the papers of this part ask.\n\n## The papers\n\n<!-- made: part -->\n",
                encoding="utf-8",
            )
    path.write_text(yaml.safe_dump(toc, sort_keys=False, allow_unicode=True), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="")
    parser.add_argument("--slug", default="")
    args = parser.parse_args()
    try:
        for path in create(args.part, args.slug):
            print(f"wrote {path.relative_to(ROOT)}")
    except BookError as error:
        print(f"make notebook: {error}", file=sys.stderr)
        return 1
    print(f"Next: edit notebooks/{args.part}/{args.slug}.yml and .py, then make book PAPERS={args.slug} SCALE=smoke.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
