"""Pairing: the .py is the source, the .ipynb is made from it, byte for byte the same every time."""

from __future__ import annotations

import copy
import functools
import hashlib
import re
from pathlib import Path

import jupytext
import nbformat
import yaml

from book.tools import ROOT, BookError
from book.tools.papers.memo import memo
from book.tools.papers.plain import plain
from shared.record import RecordError, describe, read_record

PARTS = {
    "few_labels": "Learning from few labels",
    "noisy_labels": "Noisy labels and label errors",
    "multi_label": "Many labels, partial labels, label proportions",
    "distillation": "Distilling models and data",
    "trust": "Knowing what you know",
    "annotation": "Machines that label",
    "efficiency": "Few parameters, little compute",
}
HEADINGS = (
    "## The idea",
    "## The method",
    "## Sanity check",
    "## The experiment",
    "## Paper against measured",
    "## What to take away",
    "## What differs from the paper",
    "## On your own data",
    "## Exercises",
    "## References",
)
_MARK = re.compile(r"^# %%.*$", re.M)


def papers() -> dict[str, str]:
    """Slug -> part of every paper, in the order of _toc.yml."""
    state = (ROOT / "_toc.yml").stat()
    return dict(_papers(state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=4)
def _papers(mtime: int, size: int) -> dict[str, str]:
    """Read once for each state of the file: every run of every paper asks."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = {}
    for part in toc.get("parts", []):
        for chapter in part.get("chapters", []):
            pieces = chapter["file"].split("/")
            if pieces[0] == "notebooks":
                found[pieces[2]] = pieces[1]
    return found


def source(slug: str) -> Path:
    """Path of a paper's .py. Raises BookError naming the papers there are."""
    known = papers()
    if slug not in known:
        raise BookError(f"Unknown paper {slug!r}: choose from {', '.join(known)}, or see `make help` for a new one.")
    return ROOT / "notebooks" / known[slug] / f"{slug}.py"


def select(names: str) -> list[str]:
    """Slugs named in a string ("elr lp_icp"), all where it is empty."""
    chosen = names.replace(",", " ").split()
    for slug in chosen:
        source(slug)
    return list(dict.fromkeys(chosen)) or list(papers())


def config() -> dict:
    state = (ROOT / "_config.yml").stat()
    return copy.deepcopy(_config(state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=4)
def _config(mtime: int, size: int) -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def repository() -> tuple[str, str]:
    """Public URL and branch or tag of the repository: they stand in _config.yml and nowhere else."""
    entry = config()["repository"]
    owner, name = _github(entry["url"])
    return f"https://github.com/{owner}/{name}", entry["branch"]


def _github(url: str) -> tuple[str, str]:
    """Owner and name of a GitHub address, as people write it. Raises BookError for anything else."""
    found = re.fullmatch(
        r"(?i:(?:(?:git\+)?(?:https?|ssh|git)://)?(?:[\w.-]+@)?(?:(?:www|ssh)\.)?github\.com(?::\d+/|[/:]))?"
        r"([\w.-]+)/([\w.-]+?)(?:\.git)?/?(?:(?:tree|blob)/.*)?(?:[?#].*)?",
        str(url or "").strip(),
    )
    if not found or "." in found[1] or not found[2].strip("."):
        raise BookError(
            f"repository.url in _config.yml is {url!r}: give a GitHub address such as https://github.com/me/book, which "
            "Colab can open."
        )
    return found[1], found[2]


def site_url() -> str:
    """Where the rendered site is published: the repository's GitHub Pages."""
    owner, name = _github(config()["repository"]["url"])
    return f"https://{owner}.github.io/{name}"


def colab_url(slug: str, part: str) -> str:
    url, branch = repository()
    return f"https://colab.research.google.com/github/{url.split('github.com/')[1]}/blob/{branch}/notebooks/{part}/{slug}.ipynb"


# -- generated cells ---------------------------------------------------------------------------------------------


def setup_cell(slug: str) -> str:
    """The set-up cell, the same in every notebook but for the slug."""
    url, branch = repository()
    text = (Path(__file__).parent / "setup_cell.txt").read_text(encoding="utf-8")
    return text.format(source=f"git+{url}@{branch}", tag=branch.replace("/", "-"), slug=slug).strip()


def card_cell(slug: str) -> str:
    """Title and card of a paper, from its yml."""
    info = describe(slug)
    links = []
    if info.get("arxiv"):
        links.append(f"[arXiv {info['arxiv']}](https://arxiv.org/abs/{info['arxiv']})")
    if info.get("doi"):
        links.append(f"[doi {info['doi']}](https://doi.org/{info['doi']})")
    if info["code"]:
        licence = f" ({info['code_license']})" if info.get("code_license") else ""
        links.append(f"[the authors' code]({info['code']}){licence}")
    else:
        links.append("no official code found")
    return "\n".join(
        [
            f"# {info['title']}",
            "",
            f"{', '.join(info['authors'])}. *{info['venue']}*. {' · '.join(links)} · {{cite}}`{slug}`",
            "",
            f"**In one line.** {_sentence(info['finding'])}",
            "",
            f"**Part.** {PARTS[info['part']]}. **Fidelity**: {info['fidelity']}. {info['fidelity_note']}",
            "",
            f"**The published run**: {_sentence(info['published_run'])} **This notebook**: "
            f"{_sentence(small_cost(slug))} At `full` {_sentence(info['cost']['full'])} "
            f"[Open in Colab]({colab_url(slug, info['part'])}).",
        ]
    )


def small_cost(slug: str) -> str:
    """What a run at `small` costs, in words, from the accepted record."""
    try:
        seconds = read_record(ROOT / "results" / "small" / f"{slug}.json")["provenance"]["cpu_seconds"]
    except RecordError:
        return "at `small` on one core of a CPU"
    minutes = max(1, round(seconds / 60))
    words = "less than a minute" if seconds < 50 else f"about {minutes} minute{'s' * (minutes > 1)}"
    return f"at `small` {words} of one core"


def _sentence(text: str) -> str:
    """The text with a full stop; one that begins in small letters goes on from a colon before it."""
    return text.strip().rstrip(".") + "."


def with_generated_cells(text: str, slug: str) -> str:
    """The .py with its card and set-up cells made anew. Raises BookError where one is missing."""
    marks = [*_MARK.finditer(text)]
    bodies = {"card": "\n".join(f"# {line}".rstrip() for line in card_cell(slug).splitlines()),
              "setup": setup_cell(slug)}  # fmt: skip
    for tag in bodies:
        places = [i for i, mark in enumerate(marks) if f'"{tag}"' in mark.group()]
        if len(places) != 1:
            raise BookError(f'{slug}.py must have exactly one cell tagged "{tag}": copy it from the template.')
    for i in reversed(range(len(marks))):
        for tag, body in bodies.items():
            if f'"{tag}"' in marks[i].group():
                end = marks[i + 1].start() if i + 1 < len(marks) else len(text)
                text = text[: marks[i].end()] + f"\n{body}\n\n" + text[end:]
    return text


# -- .py -> .ipynb -----------------------------------------------------------------------------------------------


def notebook(text: str) -> nbformat.NotebookNode:
    """Notebook of a .py text, as the site shows it: no outputs, ids by kind and place (new prose moves no code cell's)."""
    key = f"{jupytext.__version__} {nbformat.__version__}\n{text}"
    return nbformat.v4.reads(memo("ipynb", __file__, key, lambda: nbformat.writes(_parse(text)).encode()).decode())


def ipynb_text(text: str) -> str:
    """The committed .ipynb of a .py text, in plain Markdown, byte for byte the same every time."""
    book = plain(notebook(text))
    for cell in book.cells:  # the site folds it by its tag; JupyterLab by this
        if "setup" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
    book.metadata["book"] = {"cells": cell_digests(book)}
    return nbformat.writes(book) + "\n"


def _parse(text: str) -> nbformat.NotebookNode:
    book = jupytext.reads(text, fmt="py:percent")
    counts = {"code": 0, "markdown": 0, "raw": 0}
    for cell in book.cells:
        counts[cell.cell_type] += 1
        cell["id"] = f"{cell.cell_type}-{counts[cell.cell_type]:02d}"
        if cell.cell_type == "code":
            cell.update(execution_count=None, outputs=[])
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    book.nbformat, book.nbformat_minor = 4, 5
    return book


BADGE = "colab.research.google.com/assets/colab-badge"


def cell_digest(cell) -> str:
    return hashlib.sha256(f"{cell.cell_type}\n{cell.source.rstrip()}".encode()).hexdigest()[:10]


def cell_digests(book: nbformat.NotebookNode) -> list[str]:
    """Digest of each cell's kind and source, without what Colab and JupyterLab add or leave out when they save.

    Tells a generated file, also one that was only opened and saved, from one that was edited by hand.
    """
    return [cell_digest(cell) for cell in book.cells if BADGE not in cell.source and cell.source.strip()]


def edited(text: str) -> nbformat.NotebookNode:
    """Notebook of a file that other programs saved: without the mark and the line ends of Windows."""
    book = nbformat.reads(text.removeprefix("\ufeff"), as_version=4)
    for cell in book.cells:
        cell.source = cell.source.replace("\r\n", "\n")
    return book


def sync(slugs: list[str], check: bool = False) -> list[Path]:
    """Make generated cells and .ipynb anew where they differ; the paths that did.

    Raises:
        BookError: an .ipynb was edited by hand, or cannot be read, which sync would overwrite.
    """
    changed = []
    for slug in slugs:
        py = source(slug)
        if not py.exists():
            raise BookError(f"{py.relative_to(ROOT)} is missing, but _toc.yml lists it.")
        text = py.read_text(encoding="utf-8")
        new = with_generated_cells(text.removeprefix("\ufeff"), slug)
        ipynb = py.with_suffix(".ipynb")
        old = ipynb.read_text(encoding="utf-8") if ipynb.exists() else ""
        made = ipynb_text(new)
        if old.strip() and old != made and not check:
            try:
                book = edited(old)
                found = cell_digests(book)
            except Exception as error:  # whatever is in it, it may be somebody's work
                raise BookError(
                    f"{ipynb.relative_to(ROOT)} cannot be read as a notebook ({' '.join(str(error).split())[:100]}): mend "
                    "it, or delete it, and it is made from the .py."
                ) from None
            by_hand = found not in (
                book.metadata.get("book", {}).get("cells"),
                cell_digests(nbformat.reads(made, as_version=4)),
            )
            if by_hand:
                raise BookError(
                    f"{ipynb.relative_to(ROOT)} was edited, but the .py is the source: `make pull NOTEBOOK={slug}` brings "
                    "the edits into the .py, `git checkout` drops them."
                )
        for path, before, after in ((py, text, new), (ipynb, old, made)):
            if before != after:
                changed.append(path)
                if not check:
                    path.write_text(after, encoding="utf-8")
    return changed
