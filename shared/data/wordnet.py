"""Nouns of WordNet 3.0: glosses, words, hypernyms, classes in a taxonomy, sentence vectors (see data_scripts/wordnet.py)."""

import io
import json
import re
from types import SimpleNamespace

import numpy as np
import torch

from shared.data import embedded


def without(gloss: str, words: list[str]) -> str:
    """The definition at the start of a gloss, less its examples and less these words, which a class goes by.

    A word falls in its singular and plural and whatever its case; blanks are tidied.
    """
    text = gloss.split('; "')[0]
    for word in sorted(words, key=len, reverse=True):
        forms = re.escape(word[:-1]) + "(?:y|ies)" if word.endswith("y") else re.escape(word) + "(?:s|es)?"
        text = re.sub(rf"(?<![\w-]){forms}(?![\w-])", " ", text, flags=re.IGNORECASE)
    return " ".join(text.split())


def tree_distance(parent) -> np.ndarray:
    """Edges between any two nodes of a tree.

    Args:
        parent: (n,) row of each node's parent, -1 for the root.

    Returns:
        (n, n) int64.
    """
    parent = np.asarray(parent)
    lines = []  # every node with its ancestors, from itself up
    for node in range(len(parent)):
        line = [node]
        while parent[line[-1]] >= 0:
            line.append(int(parent[line[-1]]))
            if len(line) > len(parent):
                raise ValueError("The parents run in a circle: this is no tree.")
        lines.append(line)
    if len({line[-1] for line in lines}) > 1:
        raise ValueError("There is more than one root: this is no tree.")
    above = np.zeros((len(parent), len(parent)), np.int64)
    for node, line in enumerate(lines):
        above[node, line] = 1
    depth = above.sum(1)
    return depth[:, None] + depth[None, :] - 2 * above @ above.T


def read(entry: dict) -> SimpleNamespace:
    """Items, and the tree of their classes.

    Items, one row each: `id` (offset in WordNet's data.noun), `words` (lists), `gloss`, `lexname`, `hypernym` (offset),
    `label` (class number), `text` (what `x` encodes: the definition without the words of its class), and `x` (items,
    384) float32 unit rows. Tree, one row a node, classes first: `node_words`, `node_gloss`, `node_lexname`, `node_id`,
    `parent` (row, -1 for the root). Classes: `x_names` (classes, 384), vectors of their words, joined by commas, and
    `distance` (classes, classes) int64, edges of the tree between them.
    """
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        content = SimpleNamespace(**json.loads(file["columns"].tobytes()))
        vectors = torch.from_numpy(file["codes"].astype(np.float32) * file["scale"].astype(np.float32))
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    n, classes = len(content.id), len(vectors) - len(content.id)
    content.x, content.x_names = vectors[:n], vectors[n:]
    content.label, content.parent = np.array(content.label), np.array(content.parent)
    content.text = [without(g, content.node_words[c]) for g, c in zip(content.gloss, content.label)]
    content.distance = tree_distance(content.parent)[:classes, :classes]
    return content
