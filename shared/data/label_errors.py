"""What Northcutt et al. released for two of their ten test sets: given labels, predicted probabilities, people's votes."""

import json
from types import SimpleNamespace

import numpy as np

from shared.data import DataError, fetch_all

SETS = {"cifar10": 10, "20news": 20}
VOTES = ("given", "guessed", "neither", "both")


def read(entry: dict) -> SimpleNamespace:
    """cifar10 and news (20 newsgroups), each a test set.

    labels: (n,) int64 as given; probs: (n, K) float64, cross-validated; checked: (m,) rows that went to five
    workers each; guess: (m,) the label proposed to them; votes: (m, 4) their answers given, guessed, neither, both.
    """
    files = fetch_all(entry)
    made = {}
    for name, classes in SETS.items():
        try:
            labels = np.load(files[f"{name}_test_set_original_labels.npy"], allow_pickle=False).astype(np.int64)
            probs = np.load(files[f"{name}_test_set_pyx.npy"], allow_pickle=False).astype(float)
            people = json.loads(files[f"{name}_mturk.json"].read_text(encoding="utf-8"))
            checked = np.array([entry["id"] for entry in people])
            guess = np.array([entry["our_guessed_label"] for entry in people])
            votes = np.array([[entry["mturk"][kind] for kind in VOTES] for entry in people])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"The files of {name} are not as they were published ({error}): fetch them again."
            ) from None
        if probs.shape != (len(labels), classes) or checked.max() >= len(labels) or labels.max() >= classes:
            raise DataError(f"The files of {name} do not fit each other: fetch them again.")
        made[name.removeprefix("20")] = SimpleNamespace(
            labels=labels, probs=probs, checked=checked, guess=guess, votes=votes
        )
    return SimpleNamespace(**made)
