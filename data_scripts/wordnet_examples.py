"""Make wordnet_examples.json.xz: sentences with one word whose part of speech is known.

WordNet's glosses hold example sentences. Where exactly one word of a sentence is a form of one of the lemmas that the
sentence illustrates, that word has the part of speech of the entry: a tagged item. Forms are the lemma, its regular
inflections, and what WordNet's own lists of exceptions say.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from common import SNAPSHOT, Input, fetch, main, pack_xz

FILE = "wordnet_examples.json.xz"
TAGS = ("noun", "verb", "adj", "adv")
SHA256 = {
    "data.noun": "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
    "data.verb": "adcf43e35b581e8036d8b5a52d63d9cd3d3b4870b2720d3c03c799df44777bc2",
    "data.adj": "c89120dfc1f046ddff4a631bf9b7e9fa1a36b5e86565a23bf82dbe14f30b88a7",
    "data.adv": "444a63bf3955080ab7524f5079cfc07ff9bc682cb98bdb1db73b0fb9829f1139",
    "noun.exc": "2b5d675c380b39ecf595af9fa9d4e7feb1d58c643b0bff08c40ed5bfe41fab7a",
    "verb.exc": "dbbcf9a601b2d77e934e413b91d90e88ec7f933a8b77cfc00602a923b891b42c",
    "adj.exc": "8824cc24bbedd797b9702316b27f07cd4c2b76b629539f0a1276f03926758016",
    "adv.exc": "e7291461b629abfe63301bbe1998cee09fd575ed7107abd7ea9763adb05bf0a8",
}
INPUTS = {
    name: Input(
        name,
        sha256,
        urls=(f"{SNAPSHOT}/pool/main/w/wordnet/wordnet-base_3.0-37_all.deb",),
        deb="wordnet-base",
        deb_path=f"usr/share/wordnet/{name}",
    )
    for name, sha256 in SHA256.items()
}
# Endings of regular forms: what is cut from the lemma, what comes in its place.
ENDINGS = {
    "noun": (("", "s"), ("", "es"), ("y", "ies")),
    "verb": (("", "s"), ("", "es"), ("y", "ies"), ("", "ed"), ("e", "ed"), ("y", "ied"), ("", "ing"), ("e", "ing")),
    "adj": (("", "er"), ("e", "er"), ("y", "ier"), ("", "est"), ("e", "est"), ("y", "iest")),
    "adv": (("", "er"), ("", "est")),
}
TOKEN = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|[0-9]+(?:[.,][0-9]+)*|[^\sA-Za-z0-9]")


def forms(lemma: str, tag: str, irregular: dict[str, set[str]]) -> set[str]:
    """All forms of a lemma of one word, in small letters."""
    found = {lemma} | irregular.get(lemma, set())
    for cut, ending in ENDINGS[tag]:
        if lemma.endswith(cut):
            found.add(lemma[: len(lemma) - len(cut)] + ending)
    if tag == "verb" and re.search(r"[^aeiou][aeiou][bdgklmnprt]$", lemma):
        found |= {lemma + lemma[-1] + ending for ending in ("ed", "ing")}
    return found


def exceptions(text: str) -> dict[str, set[str]]:
    """Irregular forms by lemma."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        form, *lemmas = line.split()
        for lemma in lemmas:
            found.setdefault(lemma, set()).add(form)
    return found


def entries(text: str):
    """(lemmas, example sentences) of each line of a data file; lemmas of several words are left out."""
    for line in text.splitlines():
        if line.startswith("  ") or "|" not in line:
            continue
        head, gloss = line.split("|", 1)
        fields = head.split()
        names = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).lower() for i in range(int(fields[3], 16))]
        yield [name for name in names if "_" not in name], re.findall(r'"([^"]+)"', gloss)


def build(source: Path | None) -> bytes:
    texts = {name: fetch(item, source).decode("latin-1") for name, item in INPUTS.items()}
    seen: dict[tuple[str, int], set[str]] = {}
    for tag in TAGS:
        irregular = exceptions(texts[f"{tag}.exc"])
        for lemmas, examples in entries(texts[f"data.{tag}"]):
            known = set().union(*(forms(lemma, tag, irregular) for lemma in lemmas)) if lemmas else set()
            for example in examples:
                tokens = TOKEN.findall(example)
                places = [i for i, token in enumerate(tokens) if token.lower() in known]
                if len(places) == 1 and len(tokens) > 1:
                    seen.setdefault((" ".join(tokens), places[0]), set()).add(tag)
    # An item that two entries tag differently has no known answer.
    items = sorted((text, place, tags.pop()) for (text, place), tags in seen.items() if len(tags) == 1)
    columns = {
        "sentence": [text for text, _, _ in items],
        "position": [place for _, place, _ in items],
        "tag": [TAGS.index(tag) for _, _, tag in items],
    }
    return pack_xz(json.dumps(columns, ensure_ascii=True, separators=(",", ":")).encode())


if __name__ == "__main__":
    main(FILE, __doc__, build)
