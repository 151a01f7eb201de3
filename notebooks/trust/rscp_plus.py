# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["card"]
# # Rscp plus
#
# First Author, Second Author. *Venue*. no official code found · {cite}`rscp_plus`
#
# **In one line.** One line on what this notebook is about, without results.
#
# **Part.** Knowing what you know. **Fidelity**: stand-in. a template that shows the parts of a notebook on Fashion-MNIST.
#
# **The published run**: Not stated. **This notebook**: at `small` on one core of a CPU. At `full` the same as at small. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/trust/rscp_plus.ipynb).

# %% tags=["setup", "hide-cell"]
# Set-up: the book's own package `shared` and what this paper needs.
# Where all is there, it does nothing.
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = "git+https://github.com/imperfect-labels/book@main"
SOURCE = os.environ.get("BOOK_SOURCE", SOURCE)


def is_the_book():
    try:
        module = importlib.import_module("shared")
    except Exception:
        return False  # no package of that name, or one that cannot be imported
    return getattr(module, "__book__", None) == "imperfect-labels"


def use(folder):
    """Import `shared` from this folder, whatever else has that name."""
    for name in [m for m in sys.modules if m.split(".")[0] == "shared"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def checkout():
    """The clone of the book that this notebook lies in, if any."""
    here = pathlib.Path.cwd().resolve()
    for folder in (here, *here.parents):
        init = folder / "shared" / "__init__.py"
        if (folder / "_toc.yml").is_file() and init.is_file():
            return folder if "imperfect-labels" in init.read_text() else None


def why(said):
    """What to do about a failed installation, from what pip said."""
    if "No module named pip" in said:
        return "this Python has no pip; run `python -m ensurepip`."
    if "Cannot find command 'git'" in said:
        return "git is missing; install it."
    network = ("resolve host", "onnection", "timed out", "unreachable", "proxy")
    if any(word in said for word in network):
        return "the network did not answer; check it."
    return "pip says: " + (said.strip().splitlines() or ["nothing"])[-1]


def install():
    """Put the package into a folder of this user's own, whole or not at all."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME")
    name = f"imperfect-labels-main-{user}"
    home = pathlib.Path(tempfile.gettempdir(), name)
    part = tempfile.mkdtemp(prefix=name, dir=home.parent)
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
    env = {k: v for k, v in os.environ.items() if k not in elsewhere}
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    pip += ["--target", part, SOURCE]
    done = subprocess.run(pip, capture_output=True, text=True, env=env)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        cause = why(done.stderr + done.stdout)
        then = "Then run this cell again."
        sys.exit(f"Could not install {SOURCE}: {cause} {then}")
    try:  # another kernel may be at it too: either copy will do
        if home.exists():
            os.rename(home, tempfile.mkdtemp(dir=home.parent) + "/old")
        os.rename(part, home)
        return home
    except OSError:
        return part


clone = checkout()
found = importlib.util.find_spec("shared") if clone else None
origin = pathlib.Path(found and found.origin or "nowhere")
if clone and clone not in origin.parents:
    use(clone)
if not is_the_book():
    use(install())

import shared

shared.ensure("rscp_plus")

