"""Staging and building: one run directory in, one site out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from book.tools import BUILD, ROOT, BookError
from book.tools.papers.keys import canonical
from book.tools.papers.memo import memo
from book.tools.papers.notebooks import PARTS, config, notebook, papers, source
from book.tools.runs.plan import Run, finished
from book.tools.runs.run_one import ANSI
from book.tools.site import cards, results
from book.tools.site.context import Context
from book.tools.site.header import answer, run_line
from book.tools.site.pages import fill

SOURCES = BUILD / "src"
LINK = re.compile(r"\[([^\]]*)\]\([./]*notebooks/\w+/(\w+)\.ipynb(?:#[\w-]*)?\)")


def merge(slug: str, scale: str) -> nbformat.NotebookNode:
    """Today's Markdown with the run's outputs, joined by cell id.

    Raises:
        BookError: the run's code cells are not today's.
    """
    today = notebook(source(slug).read_text(encoding="utf-8"))
    run = nbformat.read(Run.of(slug, scale).notebook, as_version=4)
    code = {cell["id"]: cell for cell in run.cells if cell.cell_type == "code"}
    wanted = [cell for cell in today.cells if cell.cell_type == "code"]
    if [c["id"] for c in wanted] != list(code) or any(_differs(c, code[c["id"]]) for c in wanted):
        raise BookError(
            f"The run of {slug} at {scale} has other code than the notebook: run `make book PAPERS={slug}`."
        )
    for cell in wanted:
        cell.outputs = code[cell["id"]].outputs
        cell.execution_count = code[cell["id"]].execution_count
    return today


def _differs(cell: nbformat.NotebookNode, run: nbformat.NotebookNode) -> bool:
    """Whether a cell computes or shows something else than the cell that ran; comments and the set-up do not count."""
    if cell.source == run.source or "setup" in cell.metadata.get("tags", []):
        return False
    return canonical(cell.source) != canonical(run.source)


def show_cards(book: nbformat.NotebookNode, html: str) -> None:
    """Put the claims' cards where the notebook reports, instead of the plain list that it shows outside the site."""
    place = next(i for i, c in enumerate(book.cells) if c.cell_type == "code" and "paper.report()" in c.source)
    book.cells[place].outputs = []
    shown = nbformat.v4.new_markdown_cell(html)
    shown["id"] = "claims"
    book.cells.insert(place + 1, shown)


def without_absent(text: str, slugs: list[str]) -> str:
    """A page of a site that has these papers only: of a link to another paper its words stay."""
    return LINK.sub(lambda link: link[0] if link[2] in slugs else link[1], text)


def figures(book: nbformat.NotebookNode) -> list[dict]:
    """Figures of an executed notebook: name, caption, alt and PNG bytes."""
    found = []
    for cell in book.cells:
        meta = cell.metadata.get("mystnb") or {}
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                figure = meta.get("figure", {})
                found.append(
                    {
                        "name": figure.get("name", ""),
                        "caption": figure.get("caption", ""),
                        "alt": meta.get("image", {}).get("alt", ""),
                        "png": base64.b64decode(png),
                    }
                )
    return found


def thumbnail(png: bytes, width: int = 560) -> bytes:
    """The figure, scaled down to `width` pixels, as PNG."""
    return memo("thumbnails", __file__, f"{width} ".encode() + png, lambda: _smaller(png, width))


def _smaller(png: bytes, width: int) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((width, width))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def stage(scale: str, slugs: list[str]) -> dict[str, bytes]:
    """Every file of the site's source: path -> content."""
    files: dict[str, bytes] = {}
    books = {slug: merge(slug, scale) for slug in slugs}
    context = Context(scale, slugs, {slug: figures(book) for slug, book in books.items()})
    for slug, book in books.items():
        part = papers()[slug]
        header = nbformat.v4.new_markdown_cell(answer(context, slug) + run_line(context, slug))
        header["id"] = "run-line"
        book.cells.insert(1, header)
        show_cards(book, cards.cards(context.infos[slug], context.judged[slug]))
        files[f"notebooks/{part}/{slug}.ipynb"] = nbformat.writes(book).encode()
        py = source(slug)
        for path in (py, py.with_suffix(".ipynb")):
            files[f"downloads/{path.name}"] = path.read_bytes()
        files[f"downloads/{slug}.json"] = Run.of(slug, scale).record.read_bytes()
        if context.figures[slug]:
            files[f"book/figures/{slug}.png"] = thumbnail(context.cover(slug)["png"])
    for path in sorted((ROOT / "book").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() or name.startswith("book/tools/") or "__pycache__" in name:
            continue
        if name.startswith("book/_static/"):
            files[name.removeprefix("book/")] = path.read_bytes()
        elif path.suffix == ".md":
            page = fill(context, path.read_text(encoding="utf-8"), name)
            files[name] = without_absent(page, slugs).encode()
        else:
            files[name] = path.read_bytes()
    for part in context.parts:
        files[f"book/results/{part}.md"] = results.part_page(context, part).encode()
    files.update(context.made)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [
            c for c in part["chapters"] if not c["file"].startswith("notebooks/") or c["file"].split("/")[2] in slugs
        ]
        for chapter in part["chapters"]:  # the sidebar shows short names
            if chapter["file"] == "book/results":
                chapter["sections"] = [{"file": f"book/results/{name}", "title": PARTS[name]} for name in context.parts]
            slug = chapter["file"].split("/")[-1]
            if chapter["file"].startswith("notebooks/"):
                chapter["title"] = context.infos[slug]["short"]
    shown = {
        chapter["file"].split("/")[1]
        for part in toc["parts"]
        for chapter in part["chapters"]
        if "notebooks/" in chapter["file"]
    }
    toc["parts"] = [
        part
        for part in toc["parts"]
        if not part["chapters"][0]["file"].startswith("book/parts/")
        or part["chapters"][0]["file"].split("/")[-1] in shown
    ]
    listed = {toc["root"]} | {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    files = {n: c for n, c in files.items() if not n.startswith("book/parts/") or n.removesuffix(".md") in listed}
    files["_toc.yml"] = yaml.safe_dump(toc, sort_keys=False).encode()
    settings = config()
    if scale != "small" or len(slugs) < len(papers()):
        options = settings["sphinx"]["config"].setdefault("html_theme_options", {})
        options["announcement"] = (
            "This site was built at scale smoke, to test the book: its numbers mean nothing."
            if scale == "smoke"
            else f"This site shows {len(slugs)} of {len(papers())} papers, run at scale {scale}."
        )
    files["_config.yml"] = yaml.safe_dump(settings, sort_keys=False).encode()
    return files


def write(files: dict[str, bytes]) -> None:
    """Write what differs and remove what is no longer listed: unchanged pages keep their dates."""
    for path in sorted(SOURCES.rglob("*"), reverse=True):
        name = path.relative_to(SOURCES).as_posix()
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in files:
            path.unlink()
    for name, content in files.items():
        path = SOURCES / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def built(html: Path) -> str:
    """Digest of which files a built site has, and of their sizes: what was deleted or overwritten is made again."""
    files = sorted((str(path.relative_to(html)), path.stat().st_size) for path in html.rglob("*") if path.is_file())
    return hashlib.sha256(repr(files).encode()).hexdigest()


def html_folder(scale: str) -> Path:
    """Where the site of a scale is built: `_build/html` for the default, aside for the others."""
    # jupyter-book writes into a folder of this very name.
    return (BUILD if scale == "small" and BUILD.name == "_build" else BUILD / scale / "_build") / "html"


def build(scale: str, slugs: list[str]) -> Path:
    """Build the site from the runs of a scale, warnings as errors; the front page's path.

    Papers that were not asked for are in it where a run of today's source is there.
    """
    shown = [slug for slug in papers() if slug in slugs or finished(slug, scale)]
    files = stage(scale, shown)
    html = html_folder(scale)
    front = html / "index.html"
    # What makes the pages: the tools, the docstrings that the reference shows, the versions of the builders.
    makers = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "book" / "tools").rglob("*.py"), ROOT / "requirements.lock"]
    tools = b"".join(path.read_bytes() for path in sorted(makers) if path.exists())
    state = hashlib.sha256(
        repr([(n, hashlib.sha256(c).hexdigest()) for n, c in sorted(files.items())]).encode() + tools
    ).hexdigest()
    stamp = html.parent / f"site-{scale}.json"
    try:
        old = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or cut off by a full disk
        old = {}
    if old.get("state") == state and old.get("built") == built(html):
        return front
    stamp.unlink(missing_ok=True)
    extension = Path(__file__).with_name("sphinx_scripts.py").read_bytes()
    # Scripts and styles too: where no page changed, Sphinx copies none of them.
    around = [files[name] for name in sorted(files) if name.startswith("_static/")]
    frame = [hashlib.sha256(part).hexdigest() for part in (files["_toc.yml"], files["_config.yml"], extension, *around)]
    if old.get("frame") != frame or (
        old.get("state") == state and front.exists()
    ):  # another menu is on every page, and pages that went must go
        shutil.rmtree(html, ignore_errors=True)
        shutil.rmtree(html.parent / ".doctrees", ignore_errors=True)
        shutil.rmtree(html.parent / ".jupyter_cache", ignore_errors=True)
    write(files)
    command = [
        *(sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(SOURCES)),
        *("--path-output", str(html.parent.parent), "--warningiserror", "--keep-going", "--quiet"),
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    print(f"Building the site of {len(shown)} papers.", flush=True)
    log = html.parent / f"site-{scale}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(command, env=env, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode or not front.exists():
        lines = ANSI.sub("", log.read_text(encoding="utf-8")).splitlines()
        for line in [line for line in lines if "WARNING" in line or "ERROR" in line][:20] or lines[-20:]:
            print(f"  {line}", file=sys.stderr)
        raise BookError(f"The site was not built: mend the warnings above (all of them: {log}).")
    stamp.write_text(json.dumps({"state": state, "frame": frame, "built": built(html)}), encoding="utf-8")
    return front
