"""`make records`: run at `small`, show what changed against the accepted records, accept.

Accepting writes `results/small/<slug>.json`, `results/small/verdicts.csv`, the README's table and its picture.
With SCALE=full, `results/full/<slug>.json` of the papers that are named, or of the queue (`queue.py`); with PROFILE=slurm their seeds run as jobs of
a cluster, and the merged record is accepted.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys

from book.tools import ROOT, BookError
from book.tools.papers import keys, registered
from book.tools.papers.notebooks import papers, select, sync
from book.tools.runs import merge as merging
from book.tools.runs.plan import Run
from book.tools.site import verdicts as judged
from book.tools.upkeep import queue
from shared.data import DataError
from shared.record import RecordError, describe, read_record, registration, verdicts, write_json, write_whole
from shared.show import effect_text

ACCEPTED = ROOT / "results" / "small"


def compare(slug: str, old: dict | None, new: dict) -> list[str]:
    """What a new record changes against the accepted one, in sentences."""
    if old is None:
        return ["first record"]
    if old["results"] == new["results"]:
        return ["same results" + ("" if keys.hashes(old) == keys.hashes(new) else ", new hash")]
    info = describe(slug)
    try:
        before = verdicts(info, old)
    except (RecordError, KeyError):
        return ["the claims themselves changed"]
    lines = []
    for claim in info["claims"]:
        a, b = before[claim["id"]], verdicts(info, new)[claim["id"]]
        if a != b:
            arrow = f"{a.verdict} -> {b.verdict}" if a.verdict != b.verdict else b.verdict
            lines.append(f"{claim['id']}: {effect_text(claim, a)} -> {effect_text(claim, b)} ({arrow})")
    return lines or ["other values changed, no effect of a claim did"]


def readme_text(records: dict[str, dict]) -> str:
    """The README with its generated table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    table = judged.papers_table(records, judged.stale_marks(records))
    return f"{head}{begin}\n{table}\n{end}{tail}"


def refresh() -> None:
    """Write what is derived from the accepted records: verdicts.csv and the README's table."""
    records = judged.accepted()
    write_whole(ACCEPTED / "verdicts.csv", judged.csv_text(records))
    write_whole(ROOT / "README.md", readme_text(records))


def picture(slugs: list[str]) -> None:
    """The README's picture: one figure of each paper's accepted run, side by side; left as it is where a run is not here."""
    import io

    from PIL import Image

    from book.tools.site.build import figures, merge, thumbnail

    images = []
    for slug in slugs[:6]:
        if not Run.of(slug, "small").notebook.exists():
            return
        cover = describe(slug).get("cover")
        drawn = sorted(figures(merge(slug, "small")), key=lambda figure: figure["name"] != cover)
        for figure in drawn[: 2 if len(slugs) < 4 else 1]:
            images.append(Image.open(io.BytesIO(thumbnail(figure["png"], 600))))
    columns = 2 if len(images) < 5 else 3
    height = max(image.height for image in images)
    count = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * 620 + 20, count * (height + 20) + 20), "white")
    for i, image in enumerate(images):
        x, y = 20 + (i % columns) * 620, 20 + (i // columns) * (height + 20)
        sheet.paste(image, (x, y + (height - image.height) // 2))
    sheet.quantize(128).save(ROOT / "book" / "_static" / "figures.png", optimize=True)


def made(slug: str, scale: str, merged: bool) -> dict:
    """The record of the run of today's source, or merged from the runs of its seeds. Raises BookError where there is none."""
    if merged:
        record = read_record(merging.merged_path(scale, slug))
        fresh = keys.is_todays(record) and record["results"]["seeds"] == keys.key(slug, scale)["seeds"]
    else:
        run = Run.of(slug, scale)
        fresh = run.is_fresh()
        record = read_record(run.record) if fresh else {}
    if not fresh:
        raise BookError(
            f"{slug} has no run of today's source at {scale}: run `make book SCALE={scale} PAPERS={slug}` first."
        )
    return record


def tell(slug: str, scale: str, old: dict | None, new: dict) -> None:
    """Write verdicts that moved into `results/CHANGES.md`, newest first."""
    info, date = describe(slug), new["provenance"]["date"][:10]
    before = old_verdicts(slug, old) if old else {}
    moved = []
    for claim, outcome in verdicts(info, new).items():
        was = before.get(claim, "new")
        if old and was != outcome.verdict:
            moved.append(f"- `{claim}`: {was} -> {outcome.verdict}")
    if old:
        moved += [f"- `{claim}`: {was} -> gone" for claim, was in before.items() if claim not in registration(info)]
    if not moved:
        return
    path, head = ACCEPTED.parent / "CHANGES.md", "# Verdicts that moved\n"
    text = path.read_text(encoding="utf-8") if path.exists() else head
    entry = f"\n## {slug} at {scale}, {date}\n\n" + "\n".join(moved) + "\n"
    write_whole(path, head + entry + text.removeprefix(head))


def old_verdicts(slug: str, old: dict) -> dict[str, str]:
    """Verdicts of an accepted record by the claims of today, and where these cannot be read, as verdicts.csv has them."""
    found = {}
    for claim in describe(slug)["claims"]:
        try:
            found[claim["id"]] = verdicts({**describe(slug), "claims": [claim]}, old)[claim["id"]].verdict
        except (RecordError, KeyError, ValueError):
            continue
    path = ACCEPTED / "verdicts.csv"
    if old["results"]["scale"] == "small" and path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            listed = {row["claim"]: row["verdict"] for row in csv.DictReader(file) if row["slug"] == slug}
        found = {**found, **listed}
    return found


def accept(names: str = "", scale: str = "small", merged: bool = False) -> None:
    """Accept the runs of today's source."""
    for slug in select(names):
        new = made(slug, scale, merged)
        path = ACCEPTED.with_name(scale) / f"{slug}.json"
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        changes = compare(slug, old, new)
        stood = (old or {}).get("provenance", {}).get("registration", {}).get("claims")
        settled = old and old["results"] == new["results"] and keys.hashes(old) == keys.hashes(new)
        if settled and stood == registration(describe(slug)):
            print(f"{slug}: same results")
            continue  # nothing new: the accepted record keeps its date
        new = registered.complete(slug, new, old, registered.read_pilot(slug))
        print(f"{slug}: " + "\n  ".join(changes))
        tell(slug, scale, old, new)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, new)
        sync([slug])  # its card tells what a run takes
    refresh()  # a run at full decides claims too
    if scale == "small":
        picture(list(papers()))


def next_at_full(hours: str, profile: str) -> str:
    """Show the queue for `full`; the papers of it that fit the hours, none where no hours are given."""
    import torch

    waits = queue.waiting()
    if not waits:
        print("Every paper has an accepted run of today's source at full.")
        return ""
    print(queue.table(waits))
    if not hours.strip():
        print("\nSay HOURS=1 to run what fits an hour, those with most primary claims first, or name PAPERS.")
        return ""
    gpu = profile != "local" or torch.cuda.is_available()
    chosen = queue.fitting(waits, float(hours), gpu)
    without = "" if gpu else " on this machine, which has no GPU"
    names = " ".join(w.slug for w in chosen)
    print(f"\nIn {float(hours):g} hours{without}: {names or 'nothing fits'}.")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--profile", default="", help="folder of profiles/: local or slurm")
    parser.add_argument("--hours", default="", help="at full without papers: run what of the queue fits these hours")
    parser.add_argument("--refresh", action="store_true", help="only write what is derived from the accepted records")
    args = parser.parse_args()
    try:
        if args.refresh:
            refresh()
            return 0
        from book.tools.book import make

        scale, profile = args.scale or "small", args.profile or "local"
        if scale == "smoke":
            raise BookError("Accept at small or at full: runs at smoke test the book, their numbers mean nothing.")
        chosen = args.papers
        if scale == "full" and not chosen.strip():
            chosen = next_at_full(args.hours, profile)
            if not chosen:
                return 0
        code = make(chosen, scale, site=False, profile=profile)
        if code == 0:
            accept(chosen, scale, merged=merging.by_seed(scale, profile))
        return code
    except (BookError, RecordError, DataError, OSError, ValueError) as error:
        print(f"make records: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
