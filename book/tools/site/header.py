"""What the site puts on top of a paper's page: the answer, and the line that says which run it shows."""

from __future__ import annotations

from book.tools import ROOT
from book.tools.papers.notebooks import repository
from book.tools.papers.registered import read_pilot
from book.tools.site import cards
from book.tools.site.compare import finding
from book.tools.site.context import Context
from book.tools.site.verdicts import commit_words, tally
from shared import claims as stats
from shared.record import read_record

AGAINST = (stats.REVERSED, stats.REFUTED)


def answer(context: Context, slug: str) -> str:
    """The box under a notebook's card: the primary claims with their verdicts, and the cover figure."""
    found = cards.answer(context.infos[slug], context.judged[slug])
    if not found:
        return ""
    picture = ""
    if context.figures[slug]:
        alt = " ".join(context.cover(slug)["alt"].split())
        picture = f"```{{image}} ../../book/figures/{slug}.png\n:alt: {alt}\n:width: 420px\n```\n"
    measured = [finding(c) for c in context.compared[slug][:3]]
    info, judged = context.infos[slug], context.judged[slug]
    against = [
        f"*{judged[c['id']].outcome.verdict}*: {c['sentence']}"
        for c in info["claims"]
        if c.get("origin") != "book" and not c.get("primary") and judged[c["id"]].outcome.verdict in AGAINST
    ]
    told = "".join(f"- {text}\n" for text in measured)
    told = f"Measured, best first:\n\n{told}\n" if measured else ""
    if against:
        told += "Claims of the paper that came out the other way: " + " ".join(against) + "\n\n"
    return f":::{{div}} book-answer-box\n**{info['short']}: the answer**\n\n{found}\n\n{told}{picture}:::\n\n"


def run_line(context: Context, slug: str) -> str:
    """The line under a notebook's title."""
    info, record = context.infos[slug], context.records[slug]
    p, results = record["provenance"], record["results"]
    url, _ = repository()
    full_text = "`full`: no accepted run"
    if slug in context.full:
        full_text = f"`full`: [run on {context.full[slug]['provenance']['date'][:10]}](full-{slug.replace('_', '-')})"
    threads = ", one thread" if p["device"] == "cpu" and results["scale"] != "full" else ""
    # What a reader waits for is the wall clock; beside other work it tells how busy the machine was.
    slow = p["device"] == "cpu" and p["seconds"] > 1.3 * p["cpu_seconds"]
    busy = f" ({p['seconds']:.0f} s by the clock of a busy machine)" if slow else ""
    changed = " with changes not yet committed" if p["dirty"] else ""
    issue = f"{url}/issues/new?title={slug}%3A%20a%20cell%20fails"
    return (
        f":::{{div}} book-run\n**This page** shows a run at `{results['scale']}` with {len(results['seeds'])} seeds: "
        f"{p['cpu_seconds']:.0f} s of CPU time{busy} and {p['peak_memory_mib']:.0f} MiB on {p['device_name']} ({p['device']}{threads}), "
        f"torch {p['versions']['torch']}, Python {p['versions']['python']}, {p['date'][:10]}, "
        f"{commit_words(p)}{changed}. {full_text}. **Fidelity**: {info['fidelity']}. **Verdicts**: {tally(context.infos[slug], context.outcomes[slug])}. "
        f"{registered(context, slug)}\n\n"
        f"Download: {{download}}`notebook <../../downloads/{slug}.ipynb>` · {{download}}`script <../../downloads/{slug}.py>` · "
        f'{{download}}`record <../../downloads/{slug}.json>` · [a cell fails here]({issue}) · <a href="#what-differs-from-the-paper">what differs from the paper</a> · [these claims among all of the part](../../book/results/{info["part"]}.md) · [words and names](../../book/glossary.md)\n:::'
    )


def registered(context: Context, slug: str) -> str:
    """When the claims stood, as a sentence; of a run that was not accepted, what its own record says."""
    path = ROOT / "results" / "small" / f"{slug}.json"
    known = read_record(path)["provenance"].get("registration", {}) if path.exists() else {}
    if not known.get("commit"):
        return "The claims of this page were not registered before their run."
    pilot = read_pilot(slug) or {}
    text = f"**Registered**: claims, directions and deltas stood in commit {known['commit']} before this record was accepted"
    if pilot.get("seeds"):
        text += f", after a pilot on {len(pilot['seeds'])} other seeds"
        dropped = len(pilot["dropped"])
        text += f" ({dropped} regime{'s' * (dropped > 1)} tried and dropped)" if dropped else ""
    late = known.get("changed") or []
    return text + (f"; {len(late)} came or changed after a first record of this paper." if late else ".")
