"""Books made for measurements: a copy of this one, or one of many generated papers with runs that cost nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from book.tools import ROOT
from shared.record import results_digest

LEFT_OUT = ("_build", ".venv", ".git", "__pycache__", ".pytest_cache", ".ruff_cache")
# Stands in for book/tools/runs/run_one.py: what is left is the cost of planning and scheduling.
STUB = '''"""A run that computes nothing: it files a ready notebook and record under the key that was asked for."""
import json, sys
from pathlib import Path
if __name__ == "__main__":
    name, _, scale = sys.argv[1:4]
    build = Path("_build")
    key = json.loads((build / "keys" / scale / f"{name}.key").read_text())
    text = Path("ready.json").read_text().replace("HASH", key["result_hash"]).replace("PAGE", key["page_hash"])
    folder = build / "runs" / scale / "noisy_labels"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text("{}")
    (folder / f"{name}.json").write_text(text)
else:  # what others import from there
    from book.tools.runs.real_run import *
'''


def copy(folder: Path) -> Path:
    """This book in another folder, without its runs and its site."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


def environment(tree: Path) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")}
    return env | {"PYTHONPATH": str(tree)}


def python(tree: Path, *words: str) -> str:
    """Run this environment's Python on a copy; its output."""
    done = subprocess.run([sys.executable, *words], cwd=tree, env=environment(tree), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed in {tree}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _toc(tree: Path, slugs: list[str]) -> None:
    path = tree / "_toc.yml"
    toc = yaml.safe_load(path.read_text(encoding="utf-8"))
    chapters = [{"file": "book/parts/noisy_labels"}, *({"file": f"notebooks/noisy_labels/{slug}"} for slug in slugs)]
    kept = [part for part in toc["parts"] if not part["chapters"][0]["file"].startswith("book/parts/")]
    toc["parts"] = [{"caption": "Generated", "chapters": chapters}, *kept]
    path.write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")


def _empty(tree: Path) -> Path:
    for folder in (tree / "notebooks").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    shutil.rmtree(tree / "results" / "small")
    (tree / "results" / "small").mkdir()
    (tree / "notebooks" / "noisy_labels").mkdir()
    return tree / "notebooks" / "noisy_labels"


def trivial(folder: Path, count: int) -> Path:
    """A book of `count` papers from the template whose runs compute nothing."""
    tree = copy(folder)
    notebooks = _empty(tree)
    _toc(tree, [])
    python(tree, "-m", "book.tools.papers.new", "--part", "noisy_labels", "--slug", "toy")
    slugs = [f"toy{i:03d}" for i in range(count)]
    for slug in slugs:
        for suffix in (".py", ".yml"):
            text = (notebooks / f"toy{suffix}").read_text(encoding="utf-8")
            (notebooks / f"{slug}{suffix}").write_text(text.replace("toy", slug), encoding="utf-8")
    bibliography = tree / "book" / "references.bib"
    entries = [
        f"\n@misc{{{slug},\n  title = {{Toy}},\n  author = {{Author, First}},\n  year = {{2020}}\n}}\n"
        for slug in slugs
    ]
    bibliography.write_text(bibliography.read_text(encoding="utf-8") + "".join(entries), encoding="utf-8")
    _toc(tree, slugs)
    python(tree, "-m", "book.tools.papers.sync")
    python(tree, "-m", "book.tools.book", "--scale", "smoke", "--papers", slugs[0], "--no-site")  # one real run
    made = tree / "_build" / "runs" / "smoke" / "noisy_labels" / f"{slugs[0]}.json"
    text = made.read_text(encoding="utf-8")
    run = json.loads(text)["provenance"]
    (tree / "ready.json").write_text(text.replace(run["result_hash"], "HASH").replace(run["page_hash"], "PAGE"))
    shutil.rmtree(tree / "_build")
    runner = tree / "book" / "tools" / "runs" / "run_one.py"
    runner.rename(runner.with_name("real_run.py"))
    runner.write_text(STUB)
    return tree


def executed(folder: Path, count: int, scale: str) -> Path:
    """A book of `count` papers, each a run of this book at `scale` under another name, with all its outputs."""
    from book.tools.papers.notebooks import papers
    from book.tools.runs.plan import Run, finished

    given = {slug: part for slug, part in papers().items() if finished(slug, scale)}
    if not given:
        raise RuntimeError(f"There is no run at {scale} to copy: say make book SCALE={scale} first.")
    tree = copy(folder)
    notebooks = _empty(tree)
    bibliography, slugs = (tree / "book" / "references.bib").read_text(encoding="utf-8"), []
    for i in range(count):
        old = list(given)[i % len(given)]
        slug = f"{old}_{i}"
        slugs.append(slug)
        for suffix in (".py", ".yml"):
            text = (ROOT / "notebooks" / given[old] / f"{old}{suffix}").read_text(encoding="utf-8")
            text = text.replace(f"part: {given[old]}", "part: noisy_labels")
            (notebooks / f"{slug}{suffix}").write_text(_renamed(text, old, slug), encoding="utf-8")
        entry = bibliography[bibliography.index(f"{{{old},") :]
        entry = entry[: entry.index("\n}") + 2].replace(old, slug, 1)
        bibliography += f"\n@misc{entry}\n"
    (tree / "book" / "references.bib").write_text(bibliography, encoding="utf-8")
    _toc(tree, slugs)
    for page in (tree / "book" / "parts").glob("*.md"):
        page.write_text("# Generated papers\n\n<!-- made: part -->\n", encoding="utf-8")
    for page in (tree / "book").glob("*.md"):  # links into notebooks that are not here
        text = page.read_text(encoding="utf-8")
        if "notebooks/" in text:
            page.write_text(
                "\n".join(line for line in text.split("\n") if "](../notebooks/" not in line), encoding="utf-8"
            )
    python(tree, "-m", "book.tools.papers.sync")
    program = "import sys; from book.tools.papers import notebooks; from book.tools.runs import plan; plan.plan([plan.Run.of(slug, sys.argv[1]) for slug in notebooks.papers()])"
    python(tree, "-c", program, scale)
    runs = tree / "_build" / "runs" / scale / "noisy_labels"
    runs.mkdir(parents=True, exist_ok=True)
    for i, slug in enumerate(slugs):
        old = list(given)[i % len(given)]
        book, record = Run.of(old, scale).notebook, Run.of(old, scale).record
        outputs = [cell for cell in nbformat.read(book, as_version=4).cells if cell.cell_type == "code"]
        today = nbformat.read(notebooks / f"{slug}.ipynb", as_version=4)
        for cell, run in zip([cell for cell in today.cells if cell.cell_type == "code"], outputs, strict=True):
            cell.outputs, cell.execution_count = run.outputs, run.execution_count
        (runs / f"{slug}.ipynb").write_text(nbformat.writes(today), encoding="utf-8")
        content = json.loads(record.read_text(encoding="utf-8"))
        key = json.loads((tree / "_build" / "keys" / scale / f"{slug}.key").read_text(encoding="utf-8"))
        content["slug"] = slug
        content["provenance"].update({name: key[name] for name in ("result_hash", "page_hash")})
        content["provenance"]["results_digest"] = results_digest(content["results"])
        (runs / f"{slug}.json").write_text(json.dumps(content), encoding="utf-8")
        if scale == "small":
            shutil.copy(runs / f"{slug}.json", tree / "results" / "small")
    return tree


def _renamed(text: str, old: str, slug: str) -> str:
    """The text of a paper under another slug: its name, its keys, the names of its figures."""
    for mark in ('"{}"', "`{}`", "fig-{}-", "slug: {}\n", "{{{}}}"):
        text = text.replace(mark.format(old), mark.format(slug))
    return text
