"""What the generated parts of one site are made from."""

from __future__ import annotations

from book.tools.papers.notebooks import PARTS
from book.tools.runs.plan import Run
from book.tools.site.compare import comparisons
from book.tools.site.verdicts import accepted, judge
from shared.record import describe, read_record


class Context:
    """The papers of a site with their records and verdicts.

    Args:
        scale: scale of the run. slugs: papers in the site. figures: by paper (see `build.figures`).
    """

    def __init__(self, scale: str, slugs: list[str], figures: dict[str, list[dict]]):
        self.scale, self.slugs, self.figures = scale, slugs, figures
        self.infos = {slug: describe(slug) for slug in slugs}
        self.records = {slug: read_record(Run.of(slug, scale).record) for slug in slugs}
        self.compared = {slug: comparisons(slug, self.infos[slug], self.records[slug]) for slug in slugs}
        self.judged = {slug: judge(slug, self.records[slug]) for slug in slugs}
        self.outcomes = {slug: {name: j.outcome for name, j in found.items()} for slug, found in self.judged.items()}
        self.full = {slug: record for slug, record in accepted("full").items() if slug in self.infos}
        self.made: dict[str, bytes] = {}  # files that go beside the pages

    @property
    def parts(self) -> list[str]:
        """The parts of which papers are in the site, in the order of the book."""
        here = {info["part"] for info in self.infos.values()}
        return [part for part in PARTS if part in here]

    def cover(self, slug: str) -> dict:
        """The figure that stands for a paper: the one its yml names, else the first."""
        named = [figure for figure in self.figures[slug] if figure["name"] == self.infos[slug].get("cover")]
        return (named or self.figures[slug])[0]
