"""Content keys: what a run's numbers depend on, what its page depends on, and nothing else."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

from book.tools import ROOT
from book.tools.papers.memo import memo
from book.tools.papers.notebooks import notebook, source
from shared.data import catalog
from shared.record import describe
from shared.scales import resolve_seeds

# These show, judge, fetch and file numbers but make none: a change in them leaves every record fresh. What results
# pass on their way into a record is `shared.values`, which is not among them.
SILENT = {
    "shared",
    "shared.paper",
    "shared.record",
    "shared.show",
    "shared.claims",
    "shared.power",
    "shared.provenance",
    "shared.plots",
    "shared.runtime",
    "shared.data.fetching",
}
DRAWN = {"shared.plots"}  # they shape the pictures of a page
# Cells that only show: no later result depends on them (a test), so that a colour costs no record.
SHOWING = {"show", "solution", "own-data"}


def canonical(code: str) -> str:
    """Code without comments, layout, docstrings and words of errors: its syntax tree, the same on every Python."""
    return repr(_tree(ast.parse(code)))


def _tree(node):
    if isinstance(node, ast.AST):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:]
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []  # a better sentence costs no run
        if isinstance(node, ast.Assert):
            node.msg = None
        if isinstance(node, ast.JoinedStr):  # Python 3.12 puts empty strings between the parts of a format
            node.values = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        # Empty fields are left out: newer Pythons add fields (type_params) that older trees lack.
        fields = [
            (name, _tree(value)) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind", "type_comment")
        ]
        return (type(node).__name__, *[(name, value) for name, value in fields if value not in (None, [])])
    if isinstance(node, list):
        return [_tree(item) for item in node]
    return node


@functools.lru_cache(maxsize=1000)  # papers share most modules
def imported(code: str) -> frozenset[str]:
    """Modules of `shared` that the code imports, anywhere in it."""
    names = memo("imported", __file__, code, lambda: "\n".join(sorted(_imported(code))).encode()).decode()
    return frozenset(name for name in names.split() if module_path(name))


def _imported(code: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "shared"}


def module_path(name: str) -> Path | None:
    """File of a module of `shared`, None for anything else."""
    if name.split(".")[0] != "shared":
        return None
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def closure(code: str, data: list[str]) -> dict[str, str]:
    """Code of every computing module that the code imports, directly or through others: name -> code."""
    todo = list(imported(code)) + [f"shared.data.{name}" for name in data]
    seen: dict[str, str] = {}
    while todo:
        name = todo.pop()
        path = module_path(name)
        if name in seen or path is None:
            continue
        seen[name] = path.read_text(encoding="utf-8")
        todo += imported(seen[name])
    return {name: seen[name] for name in sorted(seen)}


def code_cells(text: str, without: frozenset[str] = frozenset()) -> list[str]:
    """Code cells of a .py, without the set-up and parameters cells (those choose where and what, not how).

    Args:
        without: tags of cells to leave out too, such as `SHOWING`.
    """
    left_out = {"setup", "parameters"} | without
    cells = notebook(text).cells
    return [c.source for c in cells if c.cell_type == "code" and not left_out & set(c.metadata.get("tags", []))]


@functools.lru_cache(maxsize=1000)
def canonicals(codes: tuple[str, ...]) -> list[str]:
    """`canonical` of each piece of code."""
    make = lambda: json.dumps([canonical(code) for code in codes]).encode()  # noqa: E731
    return json.loads(memo("canonical", __file__, repr(codes), make))


def _digest(parts) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def result_hash(slug: str, scale: str, seeds: list[int]) -> str:
    """Hash of all that a run's numbers depend on: computing cells and modules, data, scale and seeds."""
    cells = code_cells(source(slug).read_text(encoding="utf-8"), frozenset(SHOWING))
    data = describe(slug)["data"][scale]
    modules = closure("\n".join(cells), data)
    parts = {
        "cells": canonicals(tuple(cells)),
        "modules": {name: canonicals((code,))[0] for name, code in modules.items() if name not in SILENT},
        "data": {name: catalog()[name]["sha256"] for name in sorted(data)},
        "scale": scale,
        "seeds": seeds,
    }
    return _digest(parts)


def page_hash(slug: str) -> str:
    """Hash of all code cells, those that only show too, and of what draws: whether an executed notebook is today's."""
    cells = code_cells(source(slug).read_text(encoding="utf-8"))
    drawing = closure("\n".join(cells), [])
    modules = {name: canonicals((drawing[name],))[0] for name in sorted(DRAWN & set(drawing))}
    return _digest({"cells": canonicals(tuple(cells)), "modules": modules})


def hashes(record: dict) -> list[tuple[list[int], str | None]]:
    """Seeds and result_hash of the run that a record is of, or of each run that a merged record was made from."""
    provenance = record["provenance"]
    runs = provenance.get("groups") or [{"seeds": record["results"]["seeds"], **provenance}]
    return [(run["seeds"], run["result_hash"]) for run in runs]


def is_todays(record: dict) -> bool:
    """Whether a record, merged or not, comes from today's source."""
    slug, scale = record["slug"], record["results"]["scale"]
    return all(found == result_hash(slug, scale, seeds) for seeds, found in hashes(record))


def key(slug: str, scale: str, seeds=None) -> dict:
    """The key of a run: slug, scale, seeds, result_hash and page_hash."""
    chosen = list(resolve_seeds(seeds, describe(slug)["seeds"][scale]))
    return {
        "slug": slug,
        "scale": scale,
        "seeds": chosen,
        "result_hash": result_hash(slug, scale, chosen),
        "page_hash": page_hash(slug),
    }
