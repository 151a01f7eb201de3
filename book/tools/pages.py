"""Generated parts of pages: made from the records of the run that the site is built from, never by hand.

A page of `book/` asks for one by a comment, `<!-- made: NAME -->`.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections import Counter
from html import escape

from book.tools import ROOT, BookError, across, cards
from book.tools import plan as planning
from book.tools.memo import memo
from book.tools.notebooks import PARTS, colab_url, papers, repository, site_url, source
from book.tools.registered import read_pilot
from shared import claims as stats
from shared.data import catalog
from shared.record import RecordError, describe, read_record, verdicts
from shared.show import effect_text, paper_text, verdict_text

MARK = re.compile(r"<!-- made: ([a-z-]+) -->")
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
            seeds = len((record if j.scale != "full" else accepted("full")[slug])["results"]["seeds"])
            values = (info["part"], slug, claim["id"], "primary" if claim.get("primary") else "", claim.get("origin", "paper"),
                      claim["kind"], fidelity, o.verdict, "clearly" if o.clearly else "", j.scale, effect, low, high,
                      f"{claim['delta']:g}", claim["unit"], str(seeds), paper, against)  # fmt: skip
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
            f"| [{name(info)}]({page}): {info['title']} ({info['year']}; {info['fidelity']}){(marks or {}).get(slug, '')} "
            f"| {said.replace('|', '/')} | {others} | {record['provenance']['cpu_seconds']:.0f}&nbsp;s "
            f"| [Colab]({colab_url(slug, info['part'])}) |"
        )
    return "\n".join(lines)


def claim_place(claim: str) -> str:
    """Where on a notebook's page a claim's card stands."""
    return f"claim-{claim.replace('_', '-')}"


def name(info: dict) -> str:
    """How tables call a paper: its short name, its slug until it has one."""
    return info.get("short") or info["slug"]


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


def used_names(text: str) -> set[str]:
    """Public names of `shared` that a notebook's code uses: "module.name"."""
    modules, names, attributes = {}, set(), []  # modules: local name -> module of shared
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shared":
            for alias in node.names:
                if node.module == "shared":
                    modules[alias.asname or alias.name] = alias.name
                else:
                    names.add(f"{node.module.removeprefix('shared.')}.{alias.name}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.append((node.value.id, node.attr))
    return names | {f"{modules[owner]}.{name}" for owner, name in attributes if owner in modules}


class Context:
    """What the generated parts of one site are made from.

    Args:
        scale: scale of the run. slugs: papers in the site. figures: by paper (see `site.figures`).
    """

    def __init__(self, scale: str, slugs: list[str], figures: dict[str, list[dict]]):
        self.scale, self.slugs, self.figures = scale, slugs, figures
        self.infos = {slug: describe(slug) for slug in slugs}
        self.records = {slug: read_record(planning.outputs(scale, slug)[1]) for slug in slugs}
        self.judged = {slug: judge(slug, self.records[slug]) for slug in slugs}
        self.outcomes = {slug: {name: j.outcome for name, j in found.items()} for slug, found in self.judged.items()}
        self.full = {slug: record for slug, record in accepted("full").items() if slug in self.infos}
        self.made: dict[str, bytes] = {}

    def fill(self, text: str, page: str) -> str:
        """The page with its marks replaced."""

        def make(match):
            maker = getattr(self, "made_" + match.group(1).replace("-", "_"), None)
            if maker is None:
                raise BookError(f"{page} asks for {match.group(1)!r}, which nothing makes.")
            return maker(page)

        return MARK.sub(make, text)

    def run_line(self, slug: str) -> str:
        """The line under a notebook's title."""
        info, record = self.infos[slug], self.records[slug]
        p, results = record["provenance"], record["results"]
        url, _ = repository()
        full_text = "`full`: no accepted run"
        if slug in self.full:
            full_text = f"`full`: [run on {self.full[slug]['provenance']['date'][:10]}](full-{slug.replace('_', '-')})"
        threads = ", one thread" if p["device"] == "cpu" and results["scale"] != "full" else ""
        changed = " with changes not yet committed" if p["dirty"] else ""
        issue = f"{url}/issues/new?title={slug}%3A%20a%20cell%20fails"
        return (
            f":::{{div}} book-run\n**This page** shows a run at `{results['scale']}` with {len(results['seeds'])} seeds: "
            f"{p['seconds']:.0f} s and {p['peak_memory_mib']:.0f} MiB on {p['device_name']} ({p['device']}{threads}), "
            f"torch {p['versions']['torch']}, Python {p['versions']['python']}, {p['date'][:10]}, "
            f"{commit_words(p)}{changed}. {full_text}. **Fidelity**: {info['fidelity']}. **Verdicts**: {tally(self.infos[slug], self.outcomes[slug])}. "
            f"{self.registered(slug)}\n\n"
            f"Download: {{download}}`notebook <../../downloads/{slug}.ipynb>` · {{download}}`script <../../downloads/{slug}.py>` · "
            f'{{download}}`record <../../downloads/{slug}.json>` · [a cell fails here]({issue}) · <a href="#what-differs-from-the-paper">what differs from the paper</a> · [words and names](../../book/glossary.md)\n:::'
        )

    def answer(self, slug: str) -> str:
        """The box under a notebook's card: the primary claims with their verdicts, and the cover figure."""
        found = cards.answer(self.infos[slug], self.judged[slug])
        if not found:
            return ""
        picture = ""
        if self.figures[slug]:
            alt = " ".join(self.cover(slug)["alt"].split())
            picture = f"```{{image}} ../../book/figures/{slug}.png\n:alt: {alt}\n:width: 420px\n```\n"
        return f":::{{div}} book-answer-box\n**The answer**\n\n{found}\n\n{picture}:::\n\n"

    def registered(self, slug: str) -> str:
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

    def cover(self, slug: str) -> dict:
        """The figure that stands for a paper: the one its yml names, else the first."""
        named = [figure for figure in self.figures[slug] if figure["name"] == self.infos[slug].get("cover")]
        return (named or self.figures[slug])[0]

    # -- parts of pages ----------------------------------------------------------------------------------------

    def made_papers(self, page: str) -> str:
        """The papers as an HTML table that the page's script filters and sorts."""
        body = []
        for slug in self.slugs:
            info, outcomes = self.infos[slug], self.outcomes[slug]
            primary = [claim for claim in info["claims"] if claim.get("primary")]
            got = "|".join(dict.fromkeys(outcomes[c["id"]].verdict for c in primary or info["claims"]))
            seconds = self.records[slug]["provenance"]["seconds"]
            said = "".join(
                f"<li>{cards.chip(claim, self.judged[slug][claim['id']])} {escape(claim['sentence'])}<br>"
                f"<small>{cards.figures(claim, self.judged[slug][claim['id']])}</small></li>"
                for claim in primary
            )
            found = f'<ul class="primary">{said}</ul>' if said else escape(tally(info, outcomes))
            body.append(
                f'<tr data-part="{info["part"]}" data-verdict="{got}" data-fidelity="{info["fidelity"]}">'
                f'<td><a href="../notebooks/{info["part"]}/{slug}.html">{escape(name(info))}</a>'
                f"<br>{escape(info['title'])} ({info['year']})<br><small>{escape(PARTS[info['part']])}; "
                f"{info['fidelity']}</small></td><td>{found}</td>"
                f'<td class="number" data-sort="{seconds:.1f}">{seconds:.0f}&nbsp;s</td>'
                f'<td><a href="{colab_url(slug, info["part"])}" aria-label="{escape(slug)} in Colab">Colab</a></td></tr>'
            )
        heads = [("paper", 1), ("what its title rests on, and what came out", 0), ("run", 1), ("open", 0)]
        return self._table("papers", "papers", heads, body)

    def _table(self, name: str, noun: str, heads: list[tuple[str, int]], body: list[str]) -> str:
        """A table with filters above it; heads marked 1 sort."""
        options = {
            "part": [(p, PARTS[p]) for p in dict.fromkeys(i["part"] for i in self.infos.values())],
            "verdict": [(v, v) for v in stats.VERDICTS],
            "fidelity": [(f, f) for f in dict.fromkeys(i["fidelity"] for i in self.infos.values())],
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

    def made_users(self, page: str) -> str:
        """Which pages use which function of `shared`."""
        users = self._users()
        lines = ["| from `shared` | used on the pages |", "| --- | --- |"]
        for name in sorted(users):
            links = ", ".join(f"[{s}](../notebooks/{self.infos[s]['part']}/{s}.ipynb)" for s in users[name])
            lines.append(f"| `{name}` | {links} |")
        return "\n".join(lines)

    def _users(self) -> dict[str, list[str]]:
        """Public names of `shared` -> slugs of the notebooks whose code names them."""
        users: dict[str, list[str]] = {}
        for slug in self.slugs:
            text = source(slug).read_text(encoding="utf-8")
            names = memo("used", __file__, text, lambda text=text: "\n".join(sorted(used_names(text))).encode())
            for name in names.decode().splitlines():
                users.setdefault(name, []).append(slug)
        return users

    def made_counts(self, page: str) -> str:
        """Totals, each with its denominator."""
        origin = {(slug, c["id"]): c.get("origin", "paper") for slug in self.slugs for c in self.infos[slug]["claims"]}
        every = [(o.verdict, origin[slug, claim]) for slug in self.slugs for claim, o in self.outcomes[slug].items()]
        total = Counter(verdict for verdict, whose in every if whose == "paper")
        untested = Counter({v: total.pop(v) for v in (stats.NOT_RUN, stats.NOT_TESTABLE) if v in total})
        own = len(every) - sum(total.values()) - sum(untested.values())
        count = sum(total.values())
        return (
            f"{len(self.slugs)} paper{'s' * (len(self.slugs) > 1)}; {count} of their claims tested: {counted(total)}. "
            + (f"{counted(untested)}. " if untested else "")
            + (f"Beside them, {own} questions that the papers did not ask. " if own else "")
            + f"All runs together took {sum(r['provenance']['seconds'] for r in self.records.values()):.0f} s of one core."
        )

    def made_wall(self, page: str) -> str:
        """The parts as cards with a picture each, at the top of the front page."""
        drawn = [slug for slug in self.slugs if self.figures[slug]]
        first = {self.infos[slug]["part"]: slug for slug in reversed(drawn)}
        parts = []
        for part, slug in sorted(first.items(), key=lambda item: list(PARTS).index(item[0])):
            figure = self.cover(slug)
            count = sum(info["part"] == part for info in self.infos.values())
            parts.append(
                f"```{{grid-item-card}}\n:link: parts/{part}\n:link-type: doc\n:class-card: book-cover\n"
                f":img-top: figures/{slug}.png\n:img-alt: {' '.join(figure['alt'].split())}\n\n"
                f"**{PARTS[part]}** ({count} paper{'s' * (count > 1)})\n```"
            )
        columns = "1 2 2 2" if len(parts) < 3 else "2 2 4 4"
        return f"````{{grid}} {columns}\n:gutter: 2\n\n" + "\n\n".join(parts) + "\n````"

    def made_part(self, page: str) -> str:
        part = page.rsplit("/", 1)[1].removesuffix(".md")
        mine = {slug: record for slug, record in self.records.items() if self.infos[slug]["part"] == part}
        items = [
            f"- [{self.infos[slug]['title']}](../../notebooks/{part}/{slug}.ipynb): {self.infos[slug]['finding']} "
            f"({tally(self.infos[slug], self.outcomes[slug])})"
            for slug in mine
        ]
        return "\n".join(items)

    def made_across(self, page: str) -> str:
        """The figure that compares the papers of a part, where there is one."""
        part = page.rsplit("/", 1)[1].removesuffix(".md")
        drawn = across.draw(part, self.records)
        if drawn is None:
            return ""
        png, alt = drawn
        self.made[f"book/figures/{part}.png"] = png
        return (
            f"```{{figure}} ../figures/{part}.png\n:name: fig-{part}-across\n:alt: {alt}\n\nTest accuracy against the share of wrong "
            "labels for the papers that measure it, each beside its baselines; bars are 95 % intervals over seeds. Data, networks and "
            "tasks differ from panel to panel: compare curves inside a panel, not between panels.\n```"
        )

    def made_data(self, page: str) -> str:
        uses: dict[str, list[str]] = {}
        for slug, info in self.infos.items():
            for names in info["data"].values():
                for name in names:
                    if slug not in uses.setdefault(name, []):
                        uses[name].append(slug)
        table = ["| set | what | licence | used by |", "| --- | --- | --- | --- |"]
        details = []
        for name, entry in catalog().items():
            licence = f"[{entry['licence']}]({entry['licence_url']})" if entry.get("licence_url") else entry["licence"]
            users = (
                ", ".join(f"[{s}](../notebooks/{self.infos[s]['part']}/{s}.ipynb)" for s in uses.get(name, [])) or "-"
            )
            cells = [f"`{name}`", f"**{entry['title']}**; {entry['rows']}", licence, users]
            table.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
            made = {
                "embedded": f"Made by `{entry.get('script')}`",
                "package": "Fetched by pip where a notebook reads it",
                "download": "Downloaded at `full`",
            }[entry["kind"]]
            size = f"{entry['bytes'] / 1e6:.1f} MB"
            details.append(f"- `{name}`: {entry['source']}. {made}; {size}; sha256 `{entry['sha256'][:16]}`...")
        return "\n".join(table) + "\n\n## Where they come from\n\n" + "\n".join(details)

    def made_claims(self, page: str) -> str:
        """Every claim as an HTML table that the page's script filters."""
        self.made["book/verdicts.csv"] = csv_text(self.records).encode()
        self.made["book/records.json"] = (json.dumps(self.records, indent=1) + "\n").encode()
        body = []
        for slug in self.slugs:
            info, page = self.infos[slug], f"../notebooks/{self.infos[slug]['part']}/{slug}.html"
            for claim in cards.ordered(info):
                judged = self.judged[slug][claim["id"]]
                whose = (
                    "our question" if claim.get("origin") == "book" else "primary" if claim.get("primary") else "claim"
                )
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
            self._table("claims", "claims", heads, body)
            + "\nAll of it as files: {download}`verdicts.csv`, {download}`records.json`."
        )

    def made_full(self, page: str) -> str:
        """What the accepted runs at `full` say, paper by paper: the claims that this scale can test."""
        if not self.full:
            return "No run at `full` has been accepted yet."
        marks, parts = stale_marks(self.full), []
        self.made["book/records_full.json"] = (json.dumps(self.full, indent=1) + "\n").encode()
        for slug, record in self.full.items():
            info, p, results = self.infos[slug], record["provenance"], record["results"]
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


def stale_marks(records: dict[str, dict]) -> dict[str, str]:
    """A mark for every accepted record, of whatever scale, whose source has changed since."""
    from book.tools.keys import is_todays

    marks = {}
    for slug, record in records.items():
        try:
            fresh = is_todays(record)
        except (RecordError, ValueError, OSError):
            fresh = False
        if not fresh:
            marks[slug] = " (stale: the source has changed since this run)"
    return marks
