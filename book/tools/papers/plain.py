"""Plain Markdown for the committed .ipynb, which is read in Colab, on GitHub and in JupyterLab, where MyST is noise.

Citations become names with a link (whose title keeps the key, so that they can be mapped back), the section of
references becomes a list, and captions, which the site takes from cell metadata, stand as text beside their figure.
"""

from __future__ import annotations

import functools
import re

import nbformat

from book.tools import ROOT, BookError

CITE = re.compile(r"\{cite\}`([^`]+)`")
NAMED = re.compile(r'\[[^\]]+\]\([^()\s]+ "cite:([\w-]+)"\)')
LISTED = "**In full**"
GROUP = re.compile(r'\((?:\[[^\]]+\]\([^()\s]+ "cite:[\w-]+"\)(?:; )?)+\)')
CAPTION = re.compile(r"(?:^|\n\n)> \*\*Figure (?:above|below)\.\*\*[^\n]*(?=\n\n|$)")


@functools.lru_cache(maxsize=2)
def _bibliography(mtime: int) -> dict[str, dict]:
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    words = lambda text: " ".join(str(Text.from_latex(text)).split())  # noqa: E731
    found = {}
    for key, entry in parse_file(str(ROOT / "book" / "references.bib")).entries.items():
        names = [words(" ".join(p.prelast_names + p.last_names)) for p in entry.persons.get("author", [])]
        names = names or [words(entry.fields.get("organization") or entry.fields.get("title", key))]
        who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        fields = {name: words(value) if name != "url" else value for name, value in entry.fields.items()}
        link = fields.get("url")
        if fields.get("doi"):
            link = f"https://doi.org/{fields['doi']}"
        elif fields.get("eprint"):
            link = f"https://arxiv.org/abs/{fields['eprint']}"
        place = (
            fields.get("booktitle") or fields.get("journal") or fields.get("publisher") or fields.get("howpublished")
        )
        found[key] = {"name": f"{who}, {fields.get('year', 'no year')}", "who": ", ".join(names), "link": link,
                      "title": fields.get("title", ""), "place": place, "year": fields.get("year", "")}  # fmt: skip
    return found


def bibliography() -> dict[str, dict]:
    """Key -> name ("Liu et al., 2020"), link and the parts of a reference, from references.bib."""
    return _bibliography((ROOT / "book" / "references.bib").stat().st_mtime_ns)


def _entry(key: str) -> dict:
    known = bibliography()
    if key not in known:
        raise BookError(f"{key!r} is cited, but book/references.bib has no such entry.")
    return known[key]


def _link(key: str) -> str:
    entry = _entry(key)
    target = entry["link"] or f"https://scholar.google.com/scholar?q={'+'.join(entry['title'].split())}"
    return f'[{entry["name"]}]({target.replace("(", "%28").replace(")", "%29")} "cite:{key}")'


def _in_full(key: str) -> str:
    e = _entry(key)
    where = ", ".join(filter(None, (e["place"], e["year"])))
    return f"- {e['who']}. *{e['title']}*. {where}." + (f" <{e['link']}>" if e["link"] else "")


def without_myst(text: str) -> str:
    """A cell's Markdown with its citations as names; the section of references also lists them in full."""
    keys = [key.strip() for group in CITE.findall(text) for key in group.split(",")]
    named = CITE.sub(lambda m: "(" + "; ".join(_link(key.strip()) for key in m[1].split(",")) + ")", text)
    if keys and re.search(r"^## References\s*$", text, re.M):
        named = f"{named.rstrip()}\n\n{LISTED}\n\n" + "\n".join(_in_full(key) for key in dict.fromkeys(keys))
    return named


def with_myst(text: str) -> str:
    """The way back: names with a key in their link become citations, captions beside figures and full lists go."""
    text = CAPTION.sub("", text).strip("\n").split(f"\n\n{LISTED}\n")[0]
    return GROUP.sub(lambda m: "{cite}`" + ",".join(NAMED.findall(m[0])) + "`", text)


def plain(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook in plain Markdown: the same cells with the same ids."""
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = without_myst(cell.source)
    for i, cell in enumerate(book.cells):
        caption = ((cell.metadata.get("mystnb") or {}).get("figure") or {}).get("caption")
        if not caption:
            continue
        after = book.cells[i + 1] if i + 1 < len(book.cells) else None
        if after is not None and after.cell_type == "markdown":
            after.source = f"> **Figure above.** {caption}\n\n{after.source}"
        else:
            before = next(c for c in reversed(book.cells[:i]) if c.cell_type == "markdown")
            before.source = f"{before.source}\n\n> **Figure below.** {caption}"
    return book
