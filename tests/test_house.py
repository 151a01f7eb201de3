"""The house is kept small."""

import ast
import io
import tokenize

from book.tools import ROOT


def code_lines(text: str) -> int:
    """Lines with code: blank lines, comments and docstrings apart."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        ):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            lines -= set(range(body[0].lineno, body[0].end_lineno + 1))
    return len(lines)


def test_lines_are_counted_without_docstrings_and_comments():
    assert code_lines('"""Doc."""\n\n# why\ndef f(x):\n    """Doc\n    more."""\n    return (x,\n            1)\n') == 3


def test_shared_stays_small():
    """One idea a module; the whole can be read in an afternoon."""
    sizes = {path.name: code_lines(path.read_text(encoding="utf-8")) for path in (ROOT / "shared").rglob("*.py")}
    assert max(sizes.values()) <= 300, sizes
    assert sum(sizes.values()) < 3200, sizes


def test_each_room_of_the_tools_imports_only_what_lies_under_it():
    order = ["papers", "runs", "site", "book", "upkeep"]
    tools, arrows = ROOT / "book" / "tools", set()
    for path in tools.rglob("*.py"):
        place = path.relative_to(tools).parts
        room = place[0].removesuffix(".py")
        if room not in order:
            assert place == ("__init__.py",), f"{path} stands in no room"
            room = None
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [f"{n}.{a.name}" for n in names if n == "book.tools" for a in getattr(node, "names", [])]
            for name in names:
                target = name.split(".")[2] if name.startswith("book.tools.") else None
                if target in order:
                    arrows.add((room, target, path.name))
    wrong = [a for a in arrows if a[0] is None or order.index(a[0]) < order.index(a[1])]
    assert not wrong, wrong
    assert {(a, b) for a, b, _ in arrows} >= {
        ("runs", "papers"),
        ("site", "runs"),
        ("book", "site"),
        ("upkeep", "site"),
    }
