"""How results are shown in a notebook: tables, numbers, sentences, and the list of claims with their verdicts."""

from __future__ import annotations

import math
import numbers
from html import escape

from shared import claims as _claims
from shared import power as _power
from shared.record import claim_values, verdicts, warnings


def display(html: str | None, text: str, markdown: bool = False) -> None:
    """Show HTML (or Markdown) in a notebook, plain text elsewhere."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
    except ImportError:
        shell = None
    if shell is None:
        print(text)
        return
    from IPython.display import display

    rich = {"text/markdown": text} if markdown else {"text/html": html}
    display({**rich, "text/plain": text}, raw=True)


def table_html(rows: list[dict], caption: str = "") -> str:
    """A plain HTML table: the keys of the first row are the header; cells are escaped, numbers right-aligned."""
    head = list(rows[0])

    def cell(value):
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        shown = str(value) if not number or isinstance(value, numbers.Integral) else f"{value:.4g}"
        return f"<td{' class=number' if number else ''}>{escape(shown)}</td>"

    body = "".join("<tr>" + "".join(cell(row.get(key, "")) for key in head) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(str(key))}</th>" for key in head)
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="book-table"><table class="dataframe">{caption}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def plain_table(rows: list[dict]) -> str:
    lines = [list(map(str, rows[0]))]
    lines += [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)) for line in lines)


def number(value: float | None, unit: str = "") -> str:
    """A number for a table: three significant digits or one decimal, powers of ten from a million; "-" for None."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1e6:
        return f"{value:.2g} {unit}".replace("e+", "e").strip()
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return f"{text} {unit}".strip()


def delta_text(claim: dict) -> str:
    """The smallest effect that counts, as effects are shown: of a ratio, how many times."""
    if claim["kind"] == "ratio":
        return number(1 + claim["delta"], "times")
    return number(claim["delta"], claim["unit"])


def effect_text(claim: dict, outcome: _claims.Outcome) -> str:
    """Effect with interval as shown everywhere, such as "7.1 [5.2, 9.0] points"; of a threshold value and bound."""
    if outcome.effect is None:
        return "-"
    if claim["kind"] == "exact":
        return f"{outcome.effect:.0%} of seeds"
    if outcome.bound is not None and outcome.value is not None:
        low, high = _around_value(claim, outcome)
        span = "" if low is None else f" [{number(low)}, {number(high)}]"
        unit = "%" if claim["unit"] == "points" else claim["unit"]
        return f"{number(outcome.value)}{span} {unit}, bound {number(outcome.bound)}"
    unit = "times" if claim["kind"] == "ratio" else claim["unit"]
    if outcome.low is None or outcome.high is None:
        return number(outcome.effect, unit)
    return f"{number(outcome.effect)} [{number(outcome.low)}, {number(outcome.high)}] {unit}"


def _around_value(claim: dict, outcome: _claims.Outcome):
    """Interval of the value itself, from that of its distance to the bound."""
    if outcome.low is None or outcome.high is None:
        return None, None
    ends = [outcome.low - outcome.effect, outcome.high - outcome.effect]
    if claim["direction"] == "lower":
        ends = [-end for end in reversed(ends)]
    return outcome.value + ends[0], outcome.value + ends[1]


def verdict_text(claim: dict, outcome: _claims.Outcome) -> str:
    """Verdict as shown everywhere: how clearly, in how many arms, and where undecided what could have been seen."""
    text = outcome.verdict
    if outcome.clearly:
        text += " clearly"
    if outcome.verdict == _claims.UNDECIDED and outcome.detectable is not None:
        unit = "times" if claim["kind"] == "ratio" else claim["unit"]
        text += f" (this run could have detected {number(outcome.detectable, unit)})"
    if outcome.cells:
        holding, every = outcome.cells
        worst = "" if holding == every else f", worst: {outcome.arm}"
        text += f" ({holding} of {every}{worst})"
    elif outcome.arm:
        text += f"; worst arm: {outcome.arm}"
    return text


def paper_text(claim: dict) -> str:
    """The paper's own numbers, by setting and source."""
    if claim.get("origin") == "book":
        return "a question of this book, not the paper's claim"
    settings: dict[tuple[str, str], list[str]] = {}
    for e in claim.get("paper") or []:
        place = ", ".join(filter(None, (e["setting"], e.get("where"), e["source"])))
        settings.setdefault(place, []).append(f"{e['arm']} {e['value']:g} {e['unit']}")
    texts = [f"{', '.join(values)} ({place})" for place, values in settings.items()]
    return "; ".join(texts) or "we read no number"


def mark(info: dict, claim: dict, record: dict, outcome: _claims.Outcome) -> list[str]:
    """What stands beside a verdict: against the paper, how firm it is, and what to know of its arms."""
    against = _claims.against_paper(claim, outcome, claim.get("fidelity", info["fidelity"]))
    found = [f"against the paper: {against}"] if against else []
    if outcome.low is not None:
        firm = _power.robustness(claim, claim_values(claim, record))
        if firm and not firm["stands"]:
            (a, b), (c, d) = firm["deltas"], firm["levels"]
            found.append(f"the same for {a:g} to {b:g} times delta and at {100 * c:g} to {100 * d:g} %")
    if claim.get("constant"):
        found.append(f"every seed gives the same value: {claim['constant']}")
    return found + warnings(claim, record)


def claims_html(info: dict, record: dict) -> tuple[str, str]:
    """The claims of a run with their verdicts, as HTML and as plain text: a list, primary claims first."""
    outcomes = verdicts(info, record)
    order = sorted(info["claims"], key=lambda c: (not c.get("primary"), c.get("origin") == "book"))
    html, lines = [], []
    for claim in order:
        o = outcomes[claim["id"]]
        lead = "primary claim: " if claim.get("primary") else "our question: " if claim.get("origin") == "book" else ""
        delta = "" if claim["kind"] == "exact" else f"; delta {delta_text(claim)}"
        kind = f"{claim['kind'].replace('_', ' ')}{delta}"
        tested = o.effect is not None
        notes = mark(info, claim, record, o) if tested else [o.note]
        figures = "; ".join(filter(None, [effect_text(claim, o) if tested else "", *notes]))
        html.append(
            f"<li><strong>{escape(verdict_text(claim, o))}</strong>: {escape(lead + claim['sentence'])}<br>"
            f"<small>{escape(figures)} ({escape(kind)}). Paper: {escape(paper_text(claim))}.</small></li>"
        )
        lines.append(
            f"{verdict_text(claim, o)}: {lead}{claim['sentence']}\n    {figures} ({kind}). Paper: {paper_text(claim)}."
        )
    return f'<ul class="book-claims">{"".join(html)}</ul>', "\n".join(lines)
