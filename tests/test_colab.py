"""The set-up cell in a bare runtime: jupyter, torch, torchvision, numpy, matplotlib, pandas, and a notebook file."""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from book.tools import ROOT
from book.tools.notebooks import papers

RUNTIME = (
    "ipykernel",
    "nbclient",
    "papermill",
    "torch",
    "torchvision",
    "numpy",
    "matplotlib",
    "pandas",
    "pip",
    "setuptools",
    "wheel",
)


def closure(names):
    """Distributions that the named ones need, themselves among them."""
    todo, found = list(names), {}
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A bare environment: links to the installed packages of such a runtime, and nothing else."""
    folder = tmp_path_factory.mktemp("runtime") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for distribution in closure(RUNTIME).values():
        for file in distribution.files or []:
            top = file.parts[0]
            if top in ("..", "__pycache__") or (site / top).exists():
                continue
            (site / top).symlink_to(distribution.locate_file(top))
    # Somebody else's package of that name, found first.
    other = tmp_path_factory.mktemp("other")
    (other / "shared").mkdir()
    (other / "shared" / "__init__.py").write_text("somebody = 'else'\n")
    return folder / "bin" / "python", other


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The repository as an install source, without what is generated."""
    tree = tmp_path_factory.mktemp("repository") / "book"
    keep = ("_build", ".venv", ".git", "__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*keep))
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("slug", papers())
def test_a_notebook_runs_from_its_file_alone(runtime, repository, tmp_path, slug):
    python, other = runtime
    before = versions(python)
    ipynb = tmp_path / f"{slug}.ipynb"
    shutil.copy(ROOT / "notebooks" / papers()[slug] / ipynb.name, ipynb)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BOOK_", "PYTHON", "VIRTUAL"))}
    env |= {"BOOK_SOURCE": str(repository), "BOOK_SCALE": "smoke", "PYTHONPATH": str(other), "TMPDIR": str(tmp_path),
            "JUPYTER_PATH": str(tmp_path / "jupyter")}  # fmt: skip
    # The kernel of that environment, whatever kernels this machine has.
    spec = tmp_path / "jupyter" / "kernels" / "bare"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        "-k",
        "bare",
        str(ipynb),
        str(tmp_path / "out.ipynb"),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / f"{slug}.json").read_text())
    assert record["results"]["scale"] == "smoke" and record["provenance"]["commit"] is None
    assert versions(python) == before
    outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    assert not any("somebody" in json.dumps(c.get("outputs", [])) for c in outputs)
    assert (Path(other) / "shared" / "__init__.py").read_text() == "somebody = 'else'\n"


def versions(python):
    code = (
        "from importlib import metadata; "
        "print([metadata.version(n) for n in ('torch', 'torchvision', 'numpy', 'pandas', 'matplotlib')])"
    )
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_source_that_cannot_be_installed_is_said_in_one_sentence(runtime, tmp_path):
    python, other = runtime
    cells = json.loads((ROOT / "notebooks" / next(iter(f"{p}/{s}.ipynb" for s, p in papers().items()))).read_text())[
        "cells"
    ]
    setup = "".join(next(c for c in cells if "setup" in c["metadata"].get("tags", []))["source"])
    env = {**os.environ, "BOOK_SOURCE": str(tmp_path / "nowhere"), "PYTHONPATH": str(other), "TMPDIR": str(tmp_path)}
    done = subprocess.run([str(python), "-c", setup], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "check the network, then run this cell again" in done.stderr
    assert "Traceback" not in done.stderr
