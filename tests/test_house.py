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
