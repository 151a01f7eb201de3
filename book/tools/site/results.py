"""Parts of the results pages: every claim of every paper."""

from __future__ import annotations

import json
from html import escape

from book.tools.site import cards
from book.tools.site.context import Context
from book.tools.site.tables import filtered_table
from book.tools.site.verdicts import claim_place, commit_words, csv_text, in_deltas, name, printed_text, stale_marks
from shared import claims as stats
from shared.record import RecordError, verdicts
from shared.show import effect_text, verdict_text


def claims(context: Context, page: str) -> str:
    """Every claim as an HTML table that the page's script filters."""
    context.made["book/verdicts.csv"] = csv_text(context.records).encode()
    context.made["book/records.json"] = (json.dumps(context.records, indent=1) + "\n").encode()
    body = []
    for slug in context.slugs:
        info, page = context.infos[slug], f"../notebooks/{context.infos[slug]['part']}/{slug}.html"
        for claim in cards.ordered(info):
            judged = context.judged[slug][claim["id"]]
            whose = "our question" if claim.get("origin") == "book" else "primary" if claim.get("primary") else "claim"
            fidelity = claim.get("fidelity", info["fidelity"])
            body.append(
                f'<tr data-part="{info["part"]}" data-verdict="{judged.outcome.verdict}" data-fidelity="{fidelity}" '
                f'data-kind="{whose}"><td>{cards.chip(claim, judged)} '
                f'<a href="{page}#{claim_place(claim["id"])}">{escape(name(info))}</a> <small>{whose}</small><br>'
                f"{escape(claim['sentence'])}<br><small>{claim['kind'].replace('_', ' ')} of {escape(claim['metric'])}; "
                f'{fidelity}</small></td><td data-sort="{in_deltas(claim, judged.outcome)}">'
                f"{cards.drawing(claim, judged.outcome)}<small>{cards.figures(claim, judged)}"
                f"{printed_text(claim)}</small></td></tr>"
            )
    heads = [("claim", 1), ("effect in units of delta, and its numbers", 1)]
    return (
        filtered_table(context, "claims", "claims", heads, body)
        + "\nAll of it as files: {download}`verdicts.csv`, {download}`records.json`."
    )


def full(context: Context, page: str) -> str:
    """What the accepted runs at `full` say, paper by paper: the claims that this scale can test."""
    if not context.full:
        return "No run at `full` has been accepted yet."
    marks, parts = stale_marks(context.full), []
    context.made["book/records_full.json"] = (json.dumps(context.full, indent=1) + "\n").encode()
    for slug, record in context.full.items():
        info, p, results = context.infos[slug], record["provenance"], record["results"]
        jobs = f" in {len(p['groups'])} jobs" if "groups" in p else ""
        parts.append(
            f"(full-{slug.replace('_', '-')})=\n[{info['title']}](../notebooks/{info['part']}/{slug}.ipynb): "
            f"{len(results['seeds'])} seeds{jobs}, {p['seconds']:.0f} s on {p['device_name']} ({p['device']}), "
            f"{p['date'][:10]}, {commit_words(p)}{marks.get(slug, '')}."
        )
        try:
            found = verdicts(info, record)
        except RecordError:
            parts.append("Its claims have changed since; it will be run again.")
            continue
        shown = [
            (c, found[c["id"]])
            for c in info["claims"]
            if found[c["id"]].verdict not in (stats.NOT_RUN, stats.NOT_TESTABLE)
        ]
        rows = [f"| {c['sentence']} | {effect_text(c, o)} | {verdict_text(c, o)} |" for c, o in shown]
        parts.append("\n".join(["| claim | measured effect | verdict |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n\nAs a file: {download}`records_full.json`."
