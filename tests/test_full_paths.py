"""Whole notebooks at `full`, offline: tiny files of the true formats in a mirror folder, settings cut down."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from book.tools.papers.notebooks import papers
from shared import data
from shared.record import describe
from tests.conftest import ROOT
from tests.test_data import ARCHIVE, small_cifar
from tests.test_full_data import error_files, human_labels, planetoid

# Reads the catalogue and the settings of `full` from its input; where none is given, that of `smoke` is taken.
DRIVER = """
import ast, json, runpy, sys
from shared import data
given = json.load(sys.stdin)
data.catalog = lambda: given["catalog"]
cuts = ast.literal_eval(given["cuts"])
from shared.paper import Paper
settings = Paper.settings
def cut(self, **values):
    assert set(cuts) <= set(values), set(cuts) - set(values)
    return settings(self, **{k: (*v[:2], cuts.get(k, v[0])) for k, v in values.items()})
Paper.settings = cut
if given["light"]:
    import torch, torchvision
    class Light(torch.nn.Sequential):  # bears the names by which the notebooks change a ResNet-18
        def __init__(self, num_classes=1000):
            super().__init__()
            self.conv1, self.maxpool = torch.nn.Conv2d(3, 64, 7, 4), torch.nn.MaxPool2d(2)
            self.widen = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(256, 512))
            self.fc = torch.nn.Linear(512, num_classes)
    torchvision.models.resnet18 = Light
runpy.run_path(given["notebook"], run_name="__main__")
"""
IMAGES = {"images": "32 x 32 colour", "network": "ResNet-18"}
CUTS = {  # what `full` has in another form than `smoke`, and what would take long
    "elr": {**IMAGES, "n_train": 20, "n_val": 10, "n_test": 10, "batch": 10, "epochs": 1, "lr_drops_after": (0, 1),
            "elr_lambdas": (3,), "gce_powers": (), "ce_decays": (1e-3,), "kl_lambdas": (), "other_rates": (),
            "other_betas": (), "slow": None},
    "nested_dropout": {**IMAGES, "n_train": 40, "n_val": 20, "n_test": 20, "batch": 20, "channels": 512, "epochs": 1,
                       "stage2_epochs": 1, "ce_decays": (5e-4,), "dropout_rates": (0.3,), "sigmas": (10,),
                       "forget_shares": (1.0,), "other_noise": ()},
    "rcal": {"hidden": ("ResNet-18", 512), "n_max": (8, 8), "n_max_val": 3, "batch": 16, "features": 64},
    "simclr_v2": {**IMAGES, "width_small": 8, "width_big": 16, "seeds_aside": None},
    "confident_learning": {},
    "erase": {},
    "top_two": {},
}  # fmt: skip


def crowd_files(rng):
    """Four crowds of 12 workers and 40 questions, in the authors' files."""
    files = {}
    for name, start in (("color", 0), ("dog", 1), ("web", 1), ("trec", 1)):
        truth = rng.integers(4, size=40)
        confuser = (truth + rng.integers(1, 4, size=40)) % 4
        lines = []
        for worker in range(12):
            for item in rng.permutation(40)[:30]:
                answer = [truth[item], confuser[item], rng.integers(4)][rng.integers(3)]
                pair = (worker, item) if name == "color" else (item, worker)
                lines.append(" ".join(str(int(v) + start) for v in (*pair, answer)))
        tables = {"": lines, "_truth": [f"{i + start} {a + start}" for i, a in enumerate(truth)]}
        if name == "color":
            tables["_conf"] = [f"{i} {a}" for i, a in enumerate(confuser)]
        for kind, rows in tables.items():
            files[f"{name}{kind}.txt"] = ("\n".join(rows) + "\n").encode()
    return files


def sent_labels():
    """Votes on six labels of each released test set."""
    votes = [{"given": g, "guessed": 5 - g, "neither": 0, "both": 0} for g in (0, 1, 2, 3, 4, 5)]
    people = [{"id": i, "given_original_label": 1, "our_guessed_label": 2, "mturk": v} for i, v in enumerate(votes)]
    return {f"{name}_mturk.json": json.dumps(people).encode() for name in ("cifar10", "20news")}


@pytest.fixture
def downloads(mirror):
    """A mirror folder with small files of every set that is downloaded."""
    rng = np.random.default_rng(0)
    archive, labels, _ = small_cifar(rows=90)
    mirror("cifar10", {ARCHIVE: archive})
    clean = np.concatenate(labels[:5]).astype(np.int64)
    worse = np.where(rng.random(len(clean)) < 0.4, rng.integers(10, size=len(clean)), clean)
    mirror("cifar10n", {"CIFAR-10_human.pt": human_labels({"clean_label": clean, "worse_label": worse})[1]})
    mirror("cora", planetoid("cora", False, rng))
    mirror("citeseer", planetoid("citeseer", True, rng))
    mirror("crowd_sets", crowd_files(rng))
    mirror("label_errors", error_files() | sent_labels())
    return data.catalog()


def at_full(slug, catalog, out):
    (notebook,) = (ROOT / "notebooks").glob(f"*/{slug}.py")
    given = {"catalog": catalog, "cuts": repr(CUTS[slug]), "notebook": str(notebook), "light": slug != "elr"}
    env = {**os.environ, "BOOK_SCALE": "full", "BOOK_OUT": str(out), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(given), env={**env, "BOOK_SEEDS": "2"}, cwd=out,
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def downloading():
    """Papers whose `full` loads what is not embedded."""
    catalog = data.catalog()
    return {
        slug for slug in papers() if any(catalog[name]["kind"] == "download" for name in describe(slug)["data"]["full"])
    }


def test_every_download_is_tried():
    assert downloading() == set(CUTS)


@pytest.mark.slow
@pytest.mark.parametrize("slug", CUTS)
def test_the_path_of_full(slug, downloads, tmp_path):
    done = at_full(slug, downloads, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / f"{slug}.json").read_text())
    assert record["results"]["scale"] == "full"
    assert set(record["provenance"]["data"]) >= {
        n for n in describe(slug)["data"]["full"] if downloads[n]["kind"] == "download"
    }
