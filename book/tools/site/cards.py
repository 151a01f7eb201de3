"""One verdict a claim, from the runs that tested it, and how a page shows it: a card with a chip and a small drawing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from html import escape

from shared import claims as stats
from shared import power
from shared.record import claim_values, verdicts
from shared.show import delta_text, effect_text, mark, number, paper_text, verdict_text

SIGNS = {
    stats.HOLDS: "&#10003;",
    stats.TRIVIAL: "&asymp;",
    stats.REVERSED: "&#8630;",
    stats.NOT_SEEN: "&#8709;",
    stats.UNDECIDED: "?",
    stats.REFUTED: "&#10007;",
    stats.NOT_RUN: "&hellip;",
    stats.NOT_TESTABLE: "&ndash;",
}
UNTESTED = (stats.NOT_RUN, stats.NOT_TESTABLE)
LONG = 200  # letters of the paper's numbers that a card shows unfolded
REACH = 4.0  # a drawing shows effects from -REACH to REACH deltas


@dataclass(frozen=True)
class Judged:
    """The verdict on one claim: its outcome, the scale that decided it, what each scale says, and what stands beside."""

    outcome: stats.Outcome
    scale: str
    by_scale: dict[str, stats.Outcome]
    seeds: int
    notes: tuple[str, ...] = ()


def judge_all(info: dict, runs: dict[str, dict]) -> dict[str, Judged]:
    """One verdict a claim.

    Args:
        info: the paper's yml. runs: the records by scale; `small` (or `smoke`, in tests) and, where one was
            accepted, `full`.
    """
    first = next(scale for scale in runs if scale != "full")
    outcomes = {scale: verdicts(info, record) for scale, record in runs.items()}
    found, tails = {}, {}
    for claim in info["claims"]:
        name = claim["id"]
        by_scale = {scale: outcome[name] for scale, outcome in outcomes.items()}
        outcome, scale = stats.decide(claim, by_scale[first], by_scale.get("full"))
        scale = "full" if scale == "full" else first
        notes = []
        if outcome.verdict not in UNTESTED and outcome.effect is not None:
            notes = mark(info, claim, runs[scale], outcome)
            p = power.p_value(claim, claim_values(claim, runs[scale]))
            if p is not None:
                tails[name] = p
        found[name] = Judged(outcome, scale, by_scale, len(runs[scale]["results"]["seeds"]), tuple(notes))
    survive = power.holm(tails)
    for name, judged in found.items():
        if judged.outcome.verdict == stats.HOLDS and name in tails and name not in survive:
            note = "would not survive Holm's correction over this paper's claims"
            found[name] = replace(judged, notes=(*judged.notes, note))
    return found


def ordered(info: dict) -> list[dict]:
    """Claims as pages show them: primary ones first, questions of ours last."""
    return sorted(info["claims"], key=lambda c: (not c.get("primary"), c.get("origin") == "book"))


def metric_words(metric: str) -> str:
    """A metric in words: the places that its arms fill in say nothing to a reader."""
    first, *others = metric.split(", ")
    first = re.split(r" (?:at|on) [^,]*\{|\{", first)[0].strip()
    return ", ".join([first, *(part for part in others if "{" not in part)])


def chip(claim: dict, judged: Judged) -> str:
    """The verdict as a coloured chip with a sign and a word, never by colour alone."""
    verdict = judged.outcome.verdict
    words = verdict_text(claim, judged.outcome).split(" (this run")[0]
    return f'<span class="chip {verdict.replace(" ", "-")}"><span aria-hidden="true">{SIGNS[verdict]}</span> {escape(words)}</span>'


def drawing(claim: dict, outcome: stats.Outcome) -> str:
    """The interval as inline SVG, in units of delta: zero, delta, the effect and the paper's own value as a hollow mark."""
    if outcome.low is None or outcome.high is None or claim["kind"] == "exact":
        return ""
    width, height, middle = 240, 30, 14
    place = lambda v: round(width / 2 + max(-REACH, min(REACH, v)) / REACH * (width / 2 - 8), 1)  # noqa: E731
    low, effect, high = (stats.in_deltas(claim, v) for v in (outcome.low, outcome.effect, outcome.high))
    paper = stats.in_deltas(claim, stats.paper_effect(claim))
    band = claim["kind"] in ("equivalence", "not_worse", "proportion")
    marks = [-1, 1] if claim["kind"] == "equivalence" else [-1] if band else [1]
    parts = [f'<line x1="8" x2="{width - 8}" y1="{middle}" y2="{middle}" class="axis"/>']
    parts.append(f'<line x1="{place(0)}" x2="{place(0)}" y1="3" y2="25" class="zero"/>')
    parts += [f'<line x1="{place(m)}" x2="{place(m)}" y1="3" y2="25" class="delta"/>' for m in marks]
    parts.append(f'<line x1="{place(low)}" x2="{place(high)}" y1="{middle}" y2="{middle}" class="interval"/>')
    parts.append(f'<circle cx="{place(effect)}" cy="{middle}" r="4" class="effect"/>')
    spoken = f"Effect {effect_text(claim, outcome)}; delta {delta_text(claim)}"
    if paper is not None and math.isfinite(paper):
        x = place(paper)
        parts.append(f'<path d="M{x - 5},3 h10 l-5,8 z" class="paper"/>')
        spoken += f"; the paper's own {number(stats.paper_effect(claim), claim['unit'])}"
    beyond = [side for side, hit in (("left", low < -REACH), ("right", high > REACH)) if hit]
    for side in beyond:
        x, turn = (3, 6) if side == "left" else (width - 3, -6)
        parts.append(f'<path d="M{x},{middle} l{turn},-4 v8 z" class="beyond"/>')
    return (
        f'<svg class="interval-drawing" role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-label="{escape(spoken)}">{"".join(parts)}</svg>'
    )


def axis() -> str:
    """The axis that all drawings share, in deltas, for the ends of a column of them."""
    place = lambda v: 120 + v / REACH * 112  # noqa: E731
    ticks = "".join(
        f'<line x1="{place(v):g}" x2="{place(v):g}" y1="2" y2="7" class="zero"/>'
        f'<text x="{place(v):g}" y="19" text-anchor="middle">{v:+d}</text>'.replace("+0", "0")
        for v in (-4, -2, 0, 1, 2, 4)
    )
    return (
        '<svg class="interval-drawing" role="img" width="240" height="22" viewBox="0 0 240 22" '
        f'aria-label="Axis of the drawings below: effects in deltas, from -4 to 4"><line x1="8" x2="232" y1="2" y2="2" class="zero"/>{ticks}</svg>'
    )


def figures(claim: dict, judged: Judged) -> str:
    """The numbers of a claim as one line of text."""
    o = judged.outcome
    if o.verdict in UNTESTED or o.effect is None:
        return escape(o.note)
    parts = [f"<strong>{escape(effect_text(claim, o))}</strong>"]
    if claim["kind"] != "exact":
        parts.append(f"delta {escape(delta_text(claim))}")
    printed = stats.paper_effect(claim)
    if printed is not None:
        unit = "times" if claim["kind"] == "ratio" else claim["unit"]
        parts.append(f"the paper's own {escape(number(printed, unit))}")
    if o.verdict == stats.UNDECIDED and o.detectable is not None:
        unit = "times" if claim["kind"] == "ratio" else claim["unit"]
        parts.append(f"this run could have detected {escape(number(o.detectable, unit))}")
    return " &middot; ".join(parts)


def card(info: dict, claim: dict, judged: Judged, anchor: bool = True) -> str:
    """One claim as a card."""
    name = f' id="claim-{claim["id"].replace("_", "-")}"' if anchor else ""
    whose = "our question" if claim.get("origin") == "book" else "primary claim" if claim.get("primary") else "claim"
    where = f", {escape(claim['where'])}" if claim.get("where") else ""
    scales = [
        f"at {scale}: {escape(verdict_text(claim, o))}"
        for scale, o in judged.by_scale.items()
        if len(judged.by_scale) > 1 and o.verdict not in UNTESTED
    ]
    small = [
        f"{claim['kind'].replace('_', ' ')} of {escape(metric_words(claim['metric']))}",
        escape(claim.get("fidelity", info["fidelity"])),
    ]
    small += [*(scales if len(scales) > 1 else [f"decided at {judged.scale}"] if judged.scale == "full" else [])]
    small += [escape(note) for note in judged.notes]
    printed, folded = escape(paper_text(claim)), ""
    if claim.get("origin") != "book" and len(printed) <= LONG:
        small.append(f"in the paper: {printed}")
    elif claim.get("origin") != "book":
        folded = f"<details><summary>in the paper: {len(claim['paper'])} numbers</summary>{printed}.</details>"
    if claim.get("delta_why"):
        small.append(f"why this delta: {escape(claim['delta_why'])}")
    if claim.get("note"):
        small.append(escape(claim["note"]))
    verdict = judged.outcome.verdict.replace(" ", "-")
    return (
        f'<div class="book-card {verdict}"{name}><p class="head">{chip(claim, judged)} <span class="whose">{whose}{where}</span></p>'
        f"<p>{escape(claim['sentence'])}</p>{drawing(claim, judged.outcome)}"
        f'<p class="figures">{figures(claim, judged)}</p><div class="small">{". ".join(s.rstrip(".") for s in small)}.{folded}</div></div>'
    )


def cards(info: dict, judged: dict[str, Judged]) -> str:
    """All claims of a paper as cards: the paper's, then questions of ours in a block of their own."""
    order = ordered(info)
    own = [claim for claim in order if claim.get("origin") == "book"]
    theirs = [card(info, claim, judged[claim["id"]]) for claim in order if claim.get("origin") != "book"]
    text = f'<div class="book-cards">{"".join(theirs)}</div>'
    if own:
        block = "".join(card(info, claim, judged[claim["id"]]) for claim in own)
        text += f'<p class="book-own"><strong>Questions of ours</strong>, counted apart:</p><div class="book-cards">{block}</div>'
    return text


def answer(info: dict, judged: dict[str, Judged]) -> str:
    """The primary claims with their verdicts, for the box at the top of a page; empty where none is marked."""
    rows = []
    for claim in ordered(info):
        if claim.get("primary"):
            j = judged[claim["id"]]
            rows.append(f"<li>{chip(claim, j)} {escape(claim['sentence'])}<br><small>{figures(claim, j)}</small></li>")
    return f'<ul class="book-answer">{"".join(rows)}</ul>' if rows else ""
