"""Tables that the pages' script filters and sorts."""

from __future__ import annotations

from html import escape


def filtered_table(
    name: str,
    noun: str,
    heads: list[tuple[str, int]],
    body: list[str],
    options: dict[str, list[tuple[str, str]]],
    note: str = "",
    near: tuple[str, ...] = (),
) -> str:
    """A table with filters above it.

    Args:
        name: of the table. noun: what its rows are. heads: words, and 1 where a click sorts. body: the rows' HTML.
        options: filter -> (value, words) of each choice; a row has the value in its attribute `data-<filter>`.
        near: filters whose values are numbers, of which the nearest rows are shown where none has the one asked for.
        note: HTML above the rows and again below them, such as an axis, in the last column.
    """
    selects = " ".join(
        f'<label>{key} <select data-filter="{key.replace(" ", "-")}"{" data-near" if key in near else ""}><option value="">all</option>'
        + "".join(f'<option value="{value}">{escape(words)}</option>' for value, words in choices)
        + "</select></label>"
        for key, choices in options.items()
        if len(choices) > 1
    )
    words = [f'<button type="button">{h}</button>' if sorts else h for h, sorts in heads]
    words[-1] += note
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    foot = f'<tfoot><tr><td colspan="{len(heads) - 1}"></td><td>{note}</td></tr></tfoot>' if note else ""
    return (
        "```{raw} html\n"
        f'<div class="book-filter" data-table="{name}" data-noun="{noun}">{selects} <label>text <input type="search" data-filter="text"></label> '
        '<span role="status" data-count></span></div>\n'
        f'<div class="book-table" tabindex="0" role="region" aria-label="table of {noun}">'
        f'<table id="{name}" class="claims"><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(body)
        + f"\n</tbody>{foot}</table></div>\n```\n"
    )
