"""The verdicts of the book: one a claim, counted, and as the tables of README and `verdicts.csv`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from html import escape

from book.tools import ROOT
from book.tools.papers.keys import is_todays
from book.tools.papers.notebooks import colab_url, papers, site_url
from book.tools.site import cards
from shared import claims as stats
from shared.record import RecordError, describe, read_record
from shared.show import effect_text, paper_text

PLURAL = {stats.HOLDS: "hold"}
COLUMNS = ("part", "slug", "claim", "primary", "origin", "kind", "fidelity", "verdict", "clearly", "scale", "effect", "low", "high",
           "delta", "unit", "seeds", "paper_effect", "against_paper")  # fmt: skip


def counted(counts: Counter) -> str:
    """Counts of verdicts in words: "11 hold, 1 not seen"."""
    words = lambda v: PLURAL.get(v, v) if counts[v] > 1 else v  # noqa: E731
    return ", ".join(f"{counts[v]} {words(v)}" for v in stats.VERDICTS if counts[v])


def tally(info: dict, outcomes) -> str:
    """Verdicts in words, such as "3 hold, 1 undecided"; questions that the book added are counted apart."""
    texts = []
    for origin, words in (("paper", ""), ("book", "our own questions: ")):
        ids = [claim["id"] for claim in info["claims"] if claim.get("origin", "paper") == origin]
        counts = Counter(outcomes[claim_id].verdict for claim_id in ids)
        if ids:
            texts.append(words + counted(counts))
    return "; ".join(texts)


def judge(slug: str, record: dict) -> dict[str, cards.Judged]:
    """The one verdict on each claim of a paper: at `small` together with the accepted run at `full`, where there is one.

    A run at `full` whose source has changed since decides nothing: its claims may be others.
    """
    scale, runs = record["results"]["scale"], {record["results"]["scale"]: record}
    full = ROOT / "results" / "full" / f"{slug}.json"
    if scale == "small" and full.exists():
        whole = read_record(full)
        if not stale_marks({slug: whole}):
            runs["full"] = whole
    return cards.judge_all(describe(slug), runs)


def rows(records: dict[str, dict]) -> list[dict]:
    """One row per claim, as in verdicts.csv: pure functions of records and yml files."""
    table = []
    for slug, record in records.items():
        info, judged = describe(slug), judge(slug, record)
        for claim in info["claims"]:
            j = judged[claim["id"]]
            o = j.outcome
            figures = [o.effect, o.low, o.high, stats.paper_effect(claim)]
            effect, low, high, paper = ["" if f is None else f"{f:.6g}" for f in figures]
            fidelity = claim.get("fidelity", info["fidelity"])
            against = stats.against_paper(claim, o, fidelity) or ""
            values = (info["part"], slug, claim["id"], "primary" if claim.get("primary") else "", claim.get("origin", "paper"),
                      claim["kind"], fidelity, o.verdict, "clearly" if o.clearly else "", j.scale, effect, low, high,
                      f"{claim['delta']:g}", claim["unit"], str(j.seeds), paper, against)  # fmt: skip
            table.append(dict(zip(COLUMNS, values)))
    return table


def csv_text(records: dict[str, dict]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(records))
    return out.getvalue()


def accepted(scale: str = "small") -> dict[str, dict]:
    """The accepted records at a scale, in the order of the book; papers without one are left out."""
    found = {}
    for slug in papers():
        path = ROOT / "results" / scale / f"{slug}.json"
        if path.exists():
            found[slug] = read_record(path)
    return found


def papers_table(records: dict[str, dict], marks: dict[str, str] | None = None) -> str:
    """Markdown table of the papers for the README: each links to its page of the rendered site."""
    lines = [
        "| paper | what its title rests on, and what came out | other claims | run | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for slug, record in records.items():
        info, judged = describe(slug), judge(slug, record)
        page = f"{site_url()}/notebooks/{info['part']}/{slug}.html"
        primary = [claim for claim in info["claims"] if claim.get("primary")]
        said = "<br>".join(
            f"**{judged[c['id']].outcome.verdict}**: {c['sentence']} {effect_text(c, judged[c['id']].outcome)}".rstrip(
                "- "
            )
            for c in primary
        )
        rest = {"claims": [claim for claim in info["claims"] if claim not in primary]}
        others = tally(rest, {name: j.outcome for name, j in judged.items()})
        lines.append(
            f"| [{info['short']}]({page}): {info['title']} ({info['year']}; {info['fidelity']}){(marks or {}).get(slug, '')} "
            f"| {said.replace('|', '/')} | {others} | {record['provenance']['cpu_seconds']:.0f}&nbsp;s "
            f"| [Colab]({colab_url(slug, info['part'])}) |"
        )
    return "\n".join(lines)


def claim_place(claim: str) -> str:
    """Where on a notebook's page a claim's card stands."""
    return f"claim-{claim.replace('_', '-')}"


def printed_text(claim: dict) -> str:
    """The paper's own values behind the numbers of a claim; nothing where there are none."""
    return f"<br>In the paper: {escape(paper_text(claim))}" if claim.get("paper") else ""


def in_deltas(claim: dict, outcome) -> str:
    """What the column of effects sorts by: effects in units of the smallest that matters, and nothing where there is none."""
    if claim["kind"] == "exact" or outcome.effect is None:
        return ""
    return f"{stats.in_deltas(claim, outcome.effect):.4g}"


def commit_words(provenance: dict) -> str:
    """Commit of a run in words: a book that is no repository of its own has none."""
    return f"commit {provenance['commit']}" if provenance["commit"] else "of a copy without a commit"


def stale_marks(records: dict[str, dict]) -> dict[str, str]:
    """A mark for every accepted record, of whatever scale, whose source has changed since."""
    marks = {}
    for slug, record in records.items():
        try:
            fresh = is_todays(record)
        except (RecordError, ValueError, OSError):
            fresh = False
        if not fresh:
            marks[slug] = " (stale: the source has changed since this run)"
    return marks
