"""Parts of the front page and of the parts' introductions."""

from __future__ import annotations

import statistics
from collections import Counter
from html import escape

from book.tools.papers.notebooks import PARTS, colab_url
from book.tools.site import cards
from book.tools.site.compare import chips, finding
from book.tools.site.context import Context
from book.tools.site.tables import filtered_table
from book.tools.site.verdicts import claim_place, counted, tally
from shared import claims as stats


def papers(context: Context, page: str) -> str:
    """The papers as an HTML table that the page's script filters and sorts."""
    body = []
    for slug in context.slugs:
        info, outcomes = context.infos[slug], context.outcomes[slug]
        primary = [claim for claim in info["claims"] if claim.get("primary")]
        got = "|".join(dict.fromkeys(outcomes[c["id"]].verdict for c in primary or info["claims"]))
        seconds = context.records[slug]["provenance"]["cpu_seconds"]
        found = escape(tally(info, outcomes))
        if primary:
            judged, first = context.judged[slug], primary[0]
            found = (
                f"{cards.chip(first, judged[first['id']])} {escape(first['sentence'])}<br>"
                f"<small>{cards.figures(first, judged[first['id']])}</small>"
            )
            # The other ones in short: their chips lead to their cards.
            found += "".join(
                f'<br><a class="more" href="../notebooks/{info["part"]}/{slug}.html#{claim_place(c["id"])}" '
                f'title="{escape(c["sentence"])}">{cards.chip(c, judged[c["id"]])}</a> <small>{escape(_begin(c["sentence"]))}</small>'
                for c in primary[1:]
            )
        for best in context.compared[slug][:1]:
            found += f"<br><small>Measured, best first: {escape(finding(best, ''))}.</small>"
        kinds, problems = chips(info)
        marks = " ".join(f'<span class="own">{escape(words)}</span>' for words in (*kinds, *problems))
        body.append(
            f'<tr data-part="{info["part"]}" data-verdict="{got}" data-fidelity="{info["fidelity"]}" '
            f'data-data="{"|".join(kinds)}">'
            f'<td><a href="../notebooks/{info["part"]}/{slug}.html">{escape(info["short"])}</a>'
            f"<br>{escape(info['title'])} ({info['year']})<br>{marks}<br><small>{escape(PARTS[info['part']])}; "
            f"{info['fidelity']}</small></td><td>{found}</td>"
            f'<td class="number" data-sort="{seconds:.1f}">{seconds:.0f}&nbsp;s</td>'
            f'<td><a href="{colab_url(slug, info["part"])}" aria-label="{escape(slug)} in Colab">Colab</a></td></tr>'
        )
    heads = [("paper", 1), ("what its title rests on, and what came out", 0), ("run", 1), ("open", 0)]
    used = list(dict.fromkeys(kind for slug in context.slugs for kind in chips(context.infos[slug])[0]))
    options = {
        "part": [(part, PARTS[part]) for part in context.parts],
        "data": [(kind, kind) for kind in used],
        "verdict": [(verdict, verdict) for verdict in stats.VERDICTS],
        "fidelity": [(f, f) for f in dict.fromkeys(info["fidelity"] for info in context.infos.values())],
    }
    return filtered_table("papers", "papers", heads, body, options)


def _begin(sentence: str, length: int = 60) -> str:
    """The beginning of a sentence, cut between words."""
    return sentence if len(sentence) <= length else sentence[:length].rsplit(" ", 1)[0] + " ..."


def counts(context: Context, page: str) -> str:
    """Totals, each with its denominator."""
    origin = {
        (slug, c["id"]): c.get("origin", "paper") for slug in context.slugs for c in context.infos[slug]["claims"]
    }
    every = [(o.verdict, origin[slug, claim]) for slug in context.slugs for claim, o in context.outcomes[slug].items()]
    total = Counter(verdict for verdict, whose in every if whose == "paper")
    untested = Counter({v: total.pop(v) for v in (stats.NOT_RUN, stats.NOT_TESTABLE) if v in total})
    own = len(every) - sum(total.values()) - sum(untested.values())
    count = sum(total.values())
    return (
        f"{len(context.slugs)} paper{'s' * (len(context.slugs) > 1)}; {count} of their claims tested: {counted(total)}. "
        + (f"{counted(untested)}. " if untested else "")
        + (f"Beside them, {own} questions that the papers did not ask. " if own else "")
        + f"All runs together took {sum(r['provenance']['cpu_seconds'] for r in context.records.values()):.0f} s of one core."
    )


def times(context: Context, page: str) -> str:
    """How long a run takes, from the records."""
    seconds = sorted(record["provenance"]["cpu_seconds"] for record in context.records.values())
    return f"{seconds[0]:.0f} to {seconds[-1]:.0f} s of one CPU core, {statistics.median(seconds):.0f} s at the median"


def wall(context: Context, page: str) -> str:
    """The parts as cards with a picture each, at the top of the front page."""
    drawn = [slug for slug in context.slugs if context.figures[slug]]
    first = {context.infos[slug]["part"]: slug for slug in reversed(drawn)}
    parts = []
    for part, slug in sorted(first.items(), key=lambda item: list(PARTS).index(item[0])):
        figure = context.cover(slug)
        count = sum(info["part"] == part for info in context.infos.values())
        parts.append(
            f"```{{grid-item-card}}\n:link: parts/{part}\n:link-type: doc\n:class-card: book-cover\n"
            f":img-top: figures/{slug}.png\n:img-alt: {' '.join(figure['alt'].split())}\n\n"
            f"**{PARTS[part]}** ({count} paper{'s' * (count > 1)})\n```"
        )
    columns = "1 2 2 2" if len(parts) < 3 else "1 2 3 3" if len(parts) == 3 else "2 2 4 4"
    return f"````{{grid}} {columns}\n:gutter: 2\n\n" + "\n\n".join(parts) + "\n````"


def part(context: Context, page: str) -> str:
    """The papers of a part, as a list."""
    part = page.rsplit("/", 1)[1].removesuffix(".md")
    mine = {slug: record for slug, record in context.records.items() if context.infos[slug]["part"] == part}
    items = [
        f"- [{context.infos[slug]['title']}](../../notebooks/{part}/{slug}.ipynb): {context.infos[slug]['finding']} "
        f"({tally(context.infos[slug], context.outcomes[slug])})"
        for slug in mine
    ]
    return "\n".join(items)
