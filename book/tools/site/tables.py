"""Tables that the pages' script filters and sorts."""

from __future__ import annotations

from html import escape

from book.tools.papers.notebooks import PARTS
from book.tools.site.context import Context
from shared import claims as stats


def filtered_table(context: Context, name: str, noun: str, heads: list[tuple[str, int]], body: list[str]) -> str:
    """A table with filters above it; heads marked 1 sort."""
    options = {
        "part": [(p, PARTS[p]) for p in dict.fromkeys(i["part"] for i in context.infos.values())],
        "verdict": [(v, v) for v in stats.VERDICTS],
        "fidelity": [(f, f) for f in dict.fromkeys(i["fidelity"] for i in context.infos.values())],
    }
    if name == "claims":
        options["kind"] = [(k, k) for k in ("primary", "claim", "our question")]
    selects = " ".join(
        f'<label>{key} <select data-filter="{key}"><option value="">all</option>'
        + "".join(f'<option value="{value}">{escape(label)}</option>' for value, label in entries)
        + "</select></label>"
        for key, entries in options.items()
    )
    head = "".join(
        f'<th scope="col"><button type="button">{h}</button></th>' if sorts else f'<th scope="col">{h}</th>'
        for h, sorts in heads
    )
    return (
        "```{raw} html\n"
        f'<div class="book-filter" data-table="{name}" data-noun="{noun}">{selects} <label>text <input type="search" data-filter="text"></label> '
        '<span role="status" data-count></span></div>\n'
        f'<div class="book-table" tabindex="0" role="region" aria-label="table of {noun}">'
        f'<table id="{name}" class="claims"><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>\n```\n"
    )
