"""Votes on the flags of ten test sets and predictions of released networks (see data_scripts/label_errors_models.py)."""

import io
from types import SimpleNamespace

import numpy as np

from shared.data import embedded


def read(entry: dict) -> SimpleNamespace:
    """votes: {test set: (m, 2) int}, of five workers (MNIST up to ten) those for the given and for the suggested label.

    audioset_changed: (m,) bool, where most workers chose other labels than the given ones (several are possible there).
    sizes: {test set: labels}, 0 where only a sample of the flags was judged. imagenet, cifar10: models (M,) str; rows
    (m,), the images that went to people, in the order of `votes`; given and flagger (M, n) bool, whether a network
    predicts the given label and what the flagger predicts; guess (M, m), whether it predicts the suggested label;
    flagger_given (n,) bool, whether the flagger predicts the given label.
    """
    with np.load(io.BytesIO(embedded(entry)), allow_pickle=False) as file:
        made = {name: file[name] for name in file.files}
    sets = [str(name) for name in made["sets"]]
    sizes = dict(zip(sets, made["sizes"].tolist()))
    votes = {name: made[f"{name}_votes"].astype(int) for name in sets if name != "audioset"}
    out = SimpleNamespace(votes=votes, sizes=sizes, audioset_changed=made["audioset_changed"])
    for name in ("imagenet", "cifar10"):
        rows, n = made[f"{name}_rows"].astype(int), sizes[name]
        bits = {
            kind: np.unpackbits(made[f"{name}_{kind}"], axis=-1, count=count).astype(bool)
            for kind, count in (("given", n), ("flagger", n), ("guess", len(rows)), ("flagger_given", n))
        }
        models = [str(model) for model in made[f"{name}_models"]]
        setattr(out, name, SimpleNamespace(models=models, rows=rows, **bits))
    return out
