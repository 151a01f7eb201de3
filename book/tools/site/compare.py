"""Methods against each other: what the ymls compare (`compare:`), with the numbers of the records, over all papers."""

from __future__ import annotations

from dataclasses import dataclass

from book.tools import BookError
from book.tools.site.cards import metric_words
from shared.claims import mean_interval


@dataclass(frozen=True)
class Measured:
    """What a record says of one method: mean over seeds with its 95 % interval."""

    method: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One setting of one block of a yml, methods from best to worst."""

    slug: str
    block: dict
    at: dict
    measured: tuple[Measured, ...]

    @property
    def metric(self) -> str:
        """What is measured, in words."""
        return metric_words(self.block["metric"])

    @property
    def label(self) -> str:
        """The setting in words; empty where the block has one only."""
        if "label" in self.at:
            return self.at["label"]
        return f"{self.at['share']:g} % wrong" if "share" in self.at else ""


def comparisons(slug: str, info: dict, record: dict) -> list[Comparison]:
    """What a paper's yml compares, with the record's numbers.

    Raises:
        BookError: the record lacks an arm that the yml names (at smoke, whose settings are cut down, it is left out).
    """
    values = {(arm["arm"], arm["metric"]): arm["values"] for arm in record["results"]["arms"]}
    found = []
    for block in info.get("compare", []):
        for at in block.get("at", [{"word": ""}]):
            measured = []
            for method, place in block["arms"].items():
                key = tuple(
                    text.replace("{at}", at["word"]) for text in (place["arm"], place.get("metric", block["metric"]))
                )
                if key not in values:
                    if record["results"]["scale"] == "smoke":
                        continue
                    raise BookError(f"{slug}.yml compares the arm {' | '.join(key)!r}, which its record has not.")
                got = values[key]
                mean, low, high = mean_interval(got)[:3] if len(got) > 1 else (got[0], got[0], got[0])
                measured.append(Measured(method, mean, low, high))
            sign = -1 if block["better"] == "higher" else 1
            if len(measured) > 1:
                found.append(Comparison(slug, block, at, tuple(sorted(measured, key=lambda m: sign * m.mean))))
    return found


def short(value: float) -> str:
    """Three digits, so that the numbers of a row can be compared by eye."""
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def finding(c: Comparison, mark: str = "**") -> str:
    """A comparison as a sentence: data and metric, methods with their means, best first, the paper's own between marks."""
    around = {c.block["method"]: mark}
    told = [f"{around.get(m.method, '')}{m.method} {short(m.mean)}{around.get(m.method, '')}" for m in c.measured]
    where = ", ".join(filter(None, [c.block["data"], c.label]))
    return f"{where}; {c.metric}: {', '.join(told)}{' ' * bool(c.block['unit'])}{c.block['unit']}"


def chips(info: dict) -> tuple[list[str], list[str]]:
    """Kinds of data and problems of a paper, each once, in the order of its yml."""
    blocks = info.get("compare", [])
    return list(dict.fromkeys(b["kind"] for b in blocks)), list(dict.fromkeys(b["problem"] for b in blocks))
