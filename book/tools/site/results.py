"""The results pages: every claim of every paper, a page for each part."""

from __future__ import annotations

import json
from collections import Counter
from html import escape

from book.tools.papers.notebooks import PARTS
from book.tools.site import cards
from book.tools.site.context import Context
from book.tools.site.tables import filtered_table
from book.tools.site.verdicts import (
    claim_place,
    commit_words,
    counted,
    csv_text,
    in_deltas,
    printed_text,
    stale_marks,
)
from shared import claims as stats
from shared.record import RecordError, verdicts
from shared.show import effect_text, verdict_text


def whose(claim: dict) -> str:
    return "our question" if claim.get("origin") == "book" else "primary" if claim.get("primary") else "claim"


def claims_table(context: Context, slugs: list[str], up: str, only: tuple[str, ...] = ()) -> str:
    """Claims as an HTML table that the page's script filters: primary ones first, by effect in units of delta.

    Args:
        slugs: papers. up: from the page to the site's root. only: kinds (see `whose`), all where it is empty.
    """
    rows = []
    for slug in slugs:
        info = context.infos[slug]
        page = f"{up}notebooks/{info['part']}/{slug}.html"
        for claim in info["claims"]:
            kind = whose(claim)
            if only and kind not in only:
                continue
            judged = context.judged[slug][claim["id"]]
            fidelity = claim.get("fidelity", info["fidelity"])
            size = in_deltas(claim, judged.outcome)
            row = (
                f'<tr data-part="{info["part"]}" data-verdict="{judged.outcome.verdict}" data-fidelity="{fidelity}" '
                f'data-kind="{kind}" data-paper="{slug}"><td>{cards.chip(claim, judged)} '
                f'<a href="{page}#{claim_place(claim["id"])}">{escape(info["short"])}</a> <small>{kind}</small><br>'
                f"{escape(claim['sentence'])}<br><small>{claim['kind'].replace('_', ' ')} of {escape(cards.metric_words(claim['metric']))}; "
                f'{fidelity}</small></td><td data-sort="{size}">'
                f"{cards.drawing(claim, judged.outcome)}<small>{cards.figures(claim, judged)}"
                f"{printed_text(claim)}</small></td></tr>"
            )
            rank = ("primary", "claim", "our question").index(kind)
            rows.append(((rank, -float(size) if size else float("inf")), row))
    shown = [context.infos[slug] for slug in slugs]
    options = {
        "part": [(part, PARTS[part]) for part in dict.fromkeys(info["part"] for info in shown)],
        "paper": [(info["slug"], info["short"]) for info in shown],
        "verdict": [(verdict, verdict) for verdict in stats.VERDICTS],
        "fidelity": [(f, f) for f in dict.fromkeys(info["fidelity"] for info in shown)],
        "kind": [(kind, kind) for kind in ("primary", "claim", "our question") if not only or kind in only],
    }
    heads = [("claim", 1), ("effect in units of delta, and its numbers", 1)]
    body = [row for _, row in sorted(rows, key=lambda item: item[0])]
    return filtered_table("claims", "claims", heads, body, options, cards.axis())


def primary(context: Context, page: str) -> str:
    """What titles and abstracts rest on, over all parts."""
    return claims_table(context, context.slugs, "../", ("primary",))


def by_part(context: Context, page: str) -> str:
    """A row for each part: how many claims were tested, and what came out."""
    context.made["book/verdicts.csv"] = csv_text(context.records).encode()
    context.made["book/records.json"] = (json.dumps(context.records, indent=1) + "\n").encode()
    heads = ["part", "papers", "claims tested", "what came out", "our questions"]
    lines = ["".join(f'<th scope="col">{head}</th>' for head in heads)]
    for part in context.parts:
        slugs = [slug for slug in context.slugs if context.infos[slug]["part"] == part]
        found = Counter(
            (context.outcomes[slug][c["id"]].verdict, c.get("origin", "paper"))
            for slug in slugs
            for c in context.infos[slug]["claims"]
        )
        tested = Counter({v: found[v, "paper"] for v in stats.VERDICTS if v not in (stats.NOT_RUN, stats.NOT_TESTABLE)})
        own = sum(count for (_, origin), count in found.items() if origin == "book")
        link = f'<th scope="row"><a href="results/{part}.html">{escape(PARTS[part])}</a></th>'
        cells = [len(slugs), tested.total(), counted(tested), own]
        lines.append(link + "".join(f"<td>{cell}</td>" for cell in cells))
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'```{{raw}} html\n<div class="book-table" tabindex="0" role="region" aria-label="claims by part"><table>{table}</table></div>\n```\n\n'
        "All of it as files: {download}`verdicts.csv`, {download}`records.json`."
    )


def part_page(context: Context, part: str) -> str:
    """The page of a part: every claim of its papers, and what runs on the papers' own data said."""
    slugs = [slug for slug in context.slugs if context.infos[slug]["part"] == part]
    return (
        f"# Results: {PARTS[part]}\n\nEvery claim of the papers of [this part](../parts/{part}.md): its verdict, and its "
        "effect with 95 % interval, drawn in units of its own smallest effect that matters (delta). The line stands at 0, the "
        "dashed one at delta, the hollow triangle is the paper's own effect where it printed numbers. What titles rest on "
        "comes first, then the other claims, then questions of ours, each by the size of the effect. "
        "[All parts](../results.md).\n\n"
        f"{claims_table(context, slugs, '../../')}\n## Runs on the papers' own data\n\n{full(context, slugs)}\n"
    )


def full(context: Context, slugs: list[str]) -> str:
    """What the accepted runs at `full` say, paper by paper: the claims that this scale can test."""
    runs = {slug: record for slug, record in context.full.items() if slug in slugs}
    if not runs:
        return "No run at `full` of these papers has been accepted yet."
    marks = stale_marks(runs)
    parts = [
        "These runs were accepted by hand. They are not made anew with the site: each line says when one was made, and "
        "one whose source has changed since is marked as stale."
    ]
    context.made["book/results/records_full.json"] = (json.dumps(context.full, indent=1) + "\n").encode()
    for slug, record in runs.items():
        info, p, results = context.infos[slug], record["provenance"], record["results"]
        jobs = f" in {len(p['groups'])} jobs" if "groups" in p else ""
        parts.append(
            f"(full-{slug.replace('_', '-')})=\n[{info['title']}](../../notebooks/{info['part']}/{slug}.ipynb): "
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
