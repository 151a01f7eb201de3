"""Every notebook from a copy of its file alone, by nbmake in a bare runtime, as on Colab: jupyter, torch, torchvision,
numpy, matplotlib, pandas, and no book. What it records must be what the site's run recorded, to the bit."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from book.tools import ROOT
from book.tools.papers.notebooks import papers, source
from book.tools.runs.plan import Run
from shared.record import describe, read_record

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
def wheel(tmp_path_factory):
    """The package that the set-up cell installs, built once from the repository without what is generated."""
    tree = tmp_path_factory.mktemp("repository") / "book"
    keep = ("_build", ".venv", ".git", "__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*keep))
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


HEAVY = {"torchvision", "sklearn", "pandas", "seaborn", "transformers"}
# What packages import by themselves.
BRINGS = {
    "scikit-learn": {"sklearn", "pandas"},
    "transformers": {"torchvision"},
    "seaborn": {"pandas"},
}
# Runs in the kernel before the notebook; what it writes at the end is all that the run has imported.
SPY = """import atexit, sys
atexit.register(lambda: open({path!r}, "w").write(" ".join(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("slug", papers())
def test_a_notebook_runs_from_its_file_alone_and_repeats_itself(html, runtime, wheel, tmp_path, slug):
    python, other = runtime
    before = versions(python)
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "spy.py").write_text(SPY.format(path=str(tmp_path / "modules")))
    (tmp_path / "alone").mkdir()
    ipynb = tmp_path / "alone" / f"{slug}.ipynb"
    shutil.copy(ROOT / "notebooks" / papers()[slug] / ipynb.name, ipynb)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BOOK_", "PYTHON", "VIRTUAL", "PYTEST"))}
    env |= {"BOOK_SOURCE": str(wheel), "BOOK_SCALE": "smoke", "PYTHONPATH": str(other), "TMPDIR": str(tmp_path),
            "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_PATH": str(tmp_path / "jupyter"),
            **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}}  # fmt: skip
    # The kernel of that environment, whatever kernels this machine has.
    spec = tmp_path / "jupyter" / "kernels" / "bare"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))
    words = ["--nbmake", "--nbmake-kernel=bare", "--nbmake-timeout=300", "--overwrite", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *words, f"--rootdir={ipynb.parent}", str(ipynb)]
    for _ in range(2):  # another program may take a port of the kernel before it starts
        done = subprocess.run(command, cwd=ipynb.parent, env=env, capture_output=True, text=True)
        if "Kernel died before replying to kernel_info" not in done.stdout:
            break
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    second = read_record(ipynb.with_suffix(".json"))
    assert second["results"]["scale"] == "smoke" and second["provenance"]["commit"] is None
    assert versions(python) == before
    outputs = json.loads(ipynb.read_text())["cells"]
    assert not any("somebody" in json.dumps(c.get("outputs", [])) for c in outputs)
    assert (Path(other) / "shared" / "__init__.py").read_text() == "somebody = 'else'\n"

    first = read_record(Run.of(slug, "smoke").record)
    assert first["provenance"]["date"] != second["provenance"]["date"], "the same run"
    assert second["results"] == first["results"]

    named = set(re.findall(r"^(?:from|import) (\w+)", source(slug).read_text(encoding="utf-8"), re.M))
    used = named | {re.match(r"[\w-]+", need)[0] for need in describe(slug)["needs"]}
    for package, imports in BRINGS.items():
        used |= imports if package in used else set()
    loaded = set((tmp_path / "modules").read_text().split())
    assert "numpy" in loaded and not (HEAVY & loaded) - used, "it pays for an import that it does not use"


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
    assert done.returncode == 1 and "pip says: " in done.stderr and "Then run this cell again" in done.stderr
    assert "Traceback" not in done.stderr
