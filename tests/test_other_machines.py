"""More settings that users have: two for each kind of fault that once came out on another machine."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from book.tools import ROOT
from book.tools.papers import notebooks as books
from book.tools.runs.run_one import clean
from shared import provenance
from tests.conftest import python
from tests.test_environment import BOOK, pictures
from tests.test_setup_cell import pip, run  # noqa: F401

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


# -- the user's own settings ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_files_in_the_users_home_reach_no_run(checkout, tmp_path):
    """Start-up files of IPython, a config of Jupyter that names another kernel, threads, a folder of matplotlib's."""
    home = tmp_path / "home"
    startup = home / ".ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("raise SystemExit('a start-up file ran')\n")
    (home / ".jupyter").mkdir()
    (home / ".jupyter/jupyter_config.json").write_text(json.dumps({"MultiKernelManager": {"default_kernel_name": "r"}}))
    (home / ".config/matplotlib").mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text("text.usetex: True\n")
    env = {"HOME": str(home), "OMP_NUM_THREADS": "64", "MPLCONFIGDIR": str(home / ".config/matplotlib")}
    done = python(checkout, *BOOK, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pictures(checkout) == 1


def test_switches_of_the_interpreter_do_not_reach_a_run(tmp_path):
    users = {"PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "7", "PYTHONWARNINGS": "error", "PYTHONINSPECT": "1", "LANG": "C"}
    env = clean(users, tmp_path)
    assert not {"PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONINSPECT"} & set(env)
    assert env["PYTHONHASHSEED"] == "0" and env["PYTHONNOUSERSITE"] == "1" and env["LANG"] == "C"


def test_the_makefile_puts_the_books_own_packages_first():
    """A global PYTHONPATH with somebody's package `shared` would otherwise come before."""
    words = ["make", "-s", "-C", str(ROOT), "-f", "-", "shown"]
    rule = f"include {ROOT / 'Makefile'}\nshown:\n\t@echo $$PYTHONPATH\n"
    env = os.environ | {"PYTHONPATH": "/somebody/else"}
    done = subprocess.run(words, input=rule, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == ".", done.stderr


# -- clones and archives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [["core.autocrlf=input"], ["core.autocrlf=true", "core.eol=crlf"]])
def test_line_ends_of_a_clone_are_the_books(tmp_path, settings):
    source, clone = tmp_path / "source", tmp_path / "clone"
    source.mkdir()
    for name in (".gitattributes", "Makefile", f"notebooks/{books.papers()['elr']}/elr.py", "requirements.lock"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*GIT, *words], cwd=source, check=True)
    options = [word for setting in settings for word in ("-c", setting)]
    subprocess.run(["git", "clone", "-q", *options, str(source), str(clone)], check=True)
    for path in source.rglob("*.*"):
        if path.is_file() and ".git/" not in f"{path}":
            assert (clone / path.relative_to(source)).read_bytes() == path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a link", "a long path"])
def test_where_a_checkout_lies(checkout, tmp_path, how):
    if how == "a link":
        place = tmp_path / "link to the book"
        place.symlink_to(checkout)
    else:
        place = tmp_path.joinpath(*["a_folder_with_quite_a_long_name"] * 4)
        place.parent.mkdir(parents=True)
        checkout.rename(place)
    done = python(place, *BOOK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running toy" in done.stdout and "running toy" not in python(place, *BOOK).stdout


def test_a_worktree_and_a_shallow_clone_know_their_commit(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    for text in "ab":
        (source / "a").write_text(text)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", text]):
            subprocess.run([*GIT, *words], cwd=source, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True).stdout[:10]
    subprocess.run([*GIT, "worktree", "add", "-q", str(tmp_path / "tree")], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{source}", str(tmp_path / "shallow")], check=True)
    for place in ("tree", "shallow"):
        monkeypatch.setattr(provenance, "ROOT", tmp_path / place)
        assert provenance.commit() == (head, False), place


# -- the environment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "users",
    [
        {"VIRTUAL_ENV": "/somewhere/else", "CONDA_PREFIX": "/opt/conda"},
        {"PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1"},
    ],
)
def test_another_environment_that_is_active_does_not_matter(tmp_path, users):
    """pip is the environment's own and is told no other place; an interpreter that answers is taken."""
    tree = tmp_path / "book"
    (tree / "data_scripts").mkdir(parents=True)
    for name in ("Makefile", "data_scripts/environment.py"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "requirements.lock").write_text("")
    done = subprocess.run(
        ["make", "setup", f"PYTHON={sys.executable}"], cwd=tree, env=os.environ | users, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = subprocess.run(["make", "setup"], cwd=tree, env=os.environ | users, capture_output=True, text=True)
    assert again.returncode == 0 and "Making" not in again.stdout


# -- the set-up cell -----------------------------------------------------------------------------------------------


def test_a_temporary_folder_that_is_missing_or_full_of_others(pip, tmp_path):  # noqa: F811
    gone = run(tmp_path, {**pip, "TMPDIR": str(tmp_path / "no such folder"), "TEMP": pip["TMPDIR"]})
    assert gone.returncode == 0 and str(tmp_path / "tmp") in gone.stdout, gone.stderr  # the next one that Python knows
    shutil.rmtree(tmp_path / "tmp")
    home = tmp_path / "tmp" / f"imperfect-labels-main-{os.getuid()}"
    home.mkdir(parents=True)
    (home / "left over").touch()
    done = run(tmp_path, pip)
    assert done.returncode == 0 and str(home) in done.stdout, done.stderr


# -- what is missing or damaged ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_empty_record_and_one_of_another_kind_are_made_again(checkout):
    python(checkout, *BOOK, check=True)
    record = checkout / "_build/runs/smoke/noisy_labels/toy.json"
    whole = json.loads(record.read_text())
    for damaged in ("", json.dumps({"schema": 1, "slug": "toy"}), json.dumps(whole | {"results": {}})):
        record.write_text(damaged)
        done = python(checkout, *BOOK)
        assert done.returncode == 0 and "running toy" in done.stdout, done.stdout + done.stderr
        assert json.loads(record.read_text())["results"] == whole["results"]


# -- folders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a file", "a lock that is a folder"])
def test_a_build_folder_that_is_none_is_told(checkout, what):
    build = checkout / "elsewhere"
    if what == "a file":
        build.write_text("")
    else:
        (build / "lock").mkdir(parents=True)
    done = python(checkout, *BOOK, env={"BOOK_BUILD": str(build)})
    assert done.returncode == 1 and "BOOK_BUILD" in done.stderr and "Traceback" not in done.stderr, done.stderr


# -- processors --------------------------------------------------------------------------------------


def test_a_run_has_one_thread_whatever_the_user_asks_for(tmp_path):
    from book.tools.runs.run_one import ONE_THREAD

    env = {**clean({"OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "8"}, tmp_path), **ONE_THREAD}
    assert {env[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")} == {"1"}
