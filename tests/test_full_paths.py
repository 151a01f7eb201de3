"""Whole notebooks at `full`, offline: tiny files of the true formats in a mirror folder, settings cut down.

What a paper needs for it stands in its own tests: `FULL`, `full_files`, `LIGHT`.
"""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from book.tools.papers.notebooks import papers
from shared import data
from shared.record import describe
from tests.changed import changed_papers
from tests.conftest import ROOT

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


def downloading():
    """Papers whose `full` loads what is not embedded."""
    catalog = data.catalog()
    return [
        slug for slug in papers() if any(catalog[name]["kind"] == "download" for name in describe(slug)["data"]["full"])
    ]


def at_full(slug, catalog, out):
    (notebook,) = (ROOT / "notebooks").glob(f"*/{slug}.py")
    own = importlib.import_module(f"tests.papers.test_{slug}")
    given = {
        "catalog": catalog,
        "cuts": repr(own.FULL),
        "notebook": str(notebook),
        "light": getattr(own, "LIGHT", False),
    }
    env = {**os.environ, "BOOK_SCALE": "full", "BOOK_OUT": str(out), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(given), env={**env, "BOOK_SEEDS": "2"}, cwd=out,
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


@pytest.mark.parametrize("slug", downloading())
def test_a_paper_that_downloads_brings_tiny_files_of_it(slug):
    own = importlib.import_module(f"tests.papers.test_{slug}")
    wanted = {name for name in describe(slug)["data"]["full"] if data.catalog()[name]["kind"] == "download"}
    assert set(own.full_files(np.random.default_rng(0))) == wanted and isinstance(own.FULL, dict)


def pytest_generate_tests(metafunc):
    if metafunc.function is test_the_path_of_full:
        metafunc.parametrize("slug", changed_papers(downloading(), metafunc.config))


@pytest.mark.slow
def test_the_path_of_full(slug, mirror, tmp_path):
    """Of papers that changed, and of one more that the commit draws; of all in the weekly run."""
    own = importlib.import_module(f"tests.papers.test_{slug}")
    for name, files in own.full_files(np.random.default_rng(0)).items():
        mirror(name, files)
    done = at_full(slug, data.catalog(), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / f"{slug}.json").read_text())
    assert record["results"]["scale"] == "full"
    assert set(record["provenance"]["data"]) >= {
        n for n in describe(slug)["data"]["full"] if data.catalog()[n]["kind"] == "download"
    }
