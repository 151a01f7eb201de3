"""Make debian_packages.json.xz: 14,255 packages of Debian 12 with texts, tags and dependencies.

The rows: packages with a real description, in sections with content; up to 12,000 with tags that say more
than "a C library", richest first, few per source package; and 4,000 untagged ones of other source packages.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from common import SNAPSHOT, Input, fetch, main, pack_xz

FILE = "debian_packages.json.xz"
INDEX = f"{SNAPSHOT}/dists/bookworm/main"
PACKAGES = Input(
    "Packages",
    "515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f",
    urls=(f"{INDEX}/binary-amd64/Packages.xz",),
    apt_list="_main_binary-amd64_Packages",
)
DESCRIPTIONS = Input(
    "Translation-en",
    "62f59c3cdca9786e4f7adf9002f9f5729a684adcb4667e58e448dec9b5a46c7f",
    urls=(f"{INDEX}/i18n/Translation-en.xz",),
    apt_list="_main_i18n_Translation-en",
)

MAX_LONG = 600  # characters kept of a long description
MIN_WORDS = 10
N_TAGGED, N_UNTAGGED = 12_000, 4_000
PER_SOURCE = 3
# Sections whose packages are shells around others.
DROPPED_SECTIONS = {
    "oldlibs",
    "debug",
    "metapackages",
    "tasks",
    "otherosfs",
    "cli-mono",
    "kernel",
    "localization",
    "introspection",
}
# Large sections of near-identical packages would otherwise make up half of the tagged rows.
SECTION_CAP = {"perl": 1200, "libs": 900, "libdevel": 500, "doc": 400}
SECTION_CAP_UNTAGGED = 450
# A package that bears only these is tagged by its kind, not by what it does.
TRIVIAL_TAGS = {
    "role::shared-lib",
    "role::devel-lib",
    "role::documentation",
    "role::app-data",
    "devel::library",
    "devel::lang:perl",
    "devel::doc",
    "implemented-in::c",
    "implemented-in::perl",
    "made-of::html",
}


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The records of a Debian control file."""
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in block.strip("\n").split("\n"):
            if line[:1] in (" ", "\t"):
                fields[key] += "\n" + line
            elif ":" in line:
                key, value = line.split(":", 1)
                fields[key] = value.strip()
        if fields:
            yield fields


def read_packages(packages: str, descriptions: str) -> list[dict]:
    """The first record of every package name, joined with its description."""
    described = {(d["Package"], d["Description-md5"]): d["Description-en"] for d in stanzas(descriptions)}
    rows: dict[str, dict] = {}
    for p in stanzas(packages):
        if p["Package"] in rows:
            continue
        text = described.get((p["Package"], p.get("Description-md5")), p.get("Description", ""))
        short, _, long = text.partition("\n")
        # Lines are indented by one space; a lone full stop stands for an empty line.
        lines = [line.removeprefix(" ") for line in long.split("\n")]
        rows[p["Package"]] = {
            "name": p["Package"],
            "source": p.get("Source", p["Package"]).split(" ")[0],
            "version": p["Version"],
            "section": p["Section"],
            "short": short.strip(),
            "long": "\n".join("" if line.strip() == "." else line for line in lines),
            "tags": read_tags(p.get("Tag", "")),
            "installed_kb": int(p.get("Installed-Size", 0)),
            "priority": p["Priority"],
            "fields": p,
        }
    return list(rows.values())


def read_tags(text: str) -> list[str]:
    """The tags that say something about the package; `facet::{a,b}` stands for two tags."""
    tags = set()
    for stem, braces in re.findall(r"([^,{]+)(\{[^}]*\})?", text.replace("\n", " ")):
        if stem := stem.strip():
            tags.update(stem + end.strip() for end in braces[1:-1].split(",")) if braces else tags.add(stem)
    return sorted(t for t in tags if not t.endswith("::TODO") and not t.startswith(("special::", "iso15924::")))


def names_in(relation: str) -> list[list[str]]:
    """Package names of a relation such as `a (>= 1) | b, c`: a list of alternatives per clause."""
    clauses = [clause.split("|") for clause in relation.replace("\n", " ").split(",")]
    return [[n for a in c if (n := re.split(r"[(\[<]", a)[0].strip().split(":")[0])] for c in clauses]


def edges(rows: list[dict], *relations: str) -> set[tuple[str, str]]:
    """(package, what it needs): per clause the first alternative that exists or is provided by a package."""
    names = {row["name"] for row in rows}
    providers = defaultdict(list)
    for row in rows:
        for clause in names_in(row["fields"].get("Provides", "")):
            for virtual in clause:
                providers[virtual].append(row["name"])
    found = set()
    for row in rows:
        for relation in relations:
            for clause in names_in(row["fields"].get(relation, "")):
                for name in clause:
                    if name in names or name in providers:
                        found.add((row["name"], name if name in names else min(providers[name])))
                        break
    return {(a, b) for a, b in found if a != b}


def text_key(row: dict) -> str:
    return (row["short"] + row["long"]).lower()


def select(rows: list[dict], links: set[tuple[str, str]]) -> list[dict]:
    """The rows of the snapshot, by name."""
    rows = [r for r in rows if r["section"] not in DROPPED_SECTIONS and len(r["long"].split()) >= MIN_WORDS]
    rich = [r for r in rows if len(r["tags"]) >= 2 and set(r["tags"]) - TRIVIAL_TAGS]
    texts: set[str] = set()
    per_source: Counter[str] = Counter()
    per_section: Counter[str] = Counter()
    tagged = []
    for row in sorted(rich, key=lambda r: (-len(r["tags"]), r["name"])):
        if text_key(row) in texts:
            continue
        texts.add(text_key(row))
        source, section = row["source"], row["section"]
        if per_source[source] < PER_SOURCE and per_section[section] < SECTION_CAP.get(section, N_TAGGED):
            per_source[source] += 1
            per_section[section] += 1
            tagged.append(row)
    tagged = tagged[:N_TAGGED]

    names, sources = {r["name"] for r in tagged}, {r["source"] for r in tagged}
    degree: Counter[str] = Counter()
    for a, b in links:
        degree[a] += b in names
        degree[b] += a in names

    def well_linked_first(row: dict) -> tuple[int, str]:
        # Behind the number of links a hash: an order that is fixed but has nothing to do with the names.
        return -min(degree[row["name"]], 3), hashlib.md5(row["name"].encode()).hexdigest()

    rest = [r for r in rows if not r["tags"] and text_key(r) not in texts and r["source"] not in sources]
    untagged, per_section = [], Counter()
    for row in sorted(rest, key=well_linked_first):
        if len(untagged) < N_UNTAGGED and per_section[row["section"]] < SECTION_CAP_UNTAGGED:
            per_section[row["section"]] += 1
            untagged.append(row)
    return sorted(tagged + untagged, key=lambda r: r["name"])


def tidy(long: str) -> str:
    """List items each on one line of their own, single blanks, at most MAX_LONG characters."""
    long = re.sub(r"\s*\n\s*\*\s*", "\n* ", long)
    return re.sub(r"[ \t]+", " ", long).strip()[:MAX_LONG]


def build(source: Path | None) -> bytes:
    rows = read_packages(fetch(PACKAGES, source).decode(), fetch(DESCRIPTIONS, source).decode())
    depends = edges(rows, "Depends", "Pre-Depends")
    recommends = edges(rows, "Recommends") - depends
    rows = select(rows, depends | recommends)
    ids = {row["name"]: i for i, row in enumerate(rows)}
    for row in rows:
        row["long"] = tidy(row["long"])
        row["depends"], row["recommends"] = [], []
    for column, links in (("depends", depends), ("recommends", recommends)):
        for a, b in links:
            if a in ids and b in ids:
                rows[ids[a]][column].append(ids[b])
        for row in rows:
            row[column].sort()
    columns = [
        "name",
        "source",
        "version",
        "section",
        "short",
        "long",
        "tags",
        "depends",
        "recommends",
        "installed_kb",
        "priority",
    ]
    table = {column: [row[column] for row in rows] for column in columns}
    return pack_xz(json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode())


if __name__ == "__main__":
    main(FILE, __doc__, build)
