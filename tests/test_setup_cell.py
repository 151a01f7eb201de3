"""The set-up cell on other people's machines: causes are told as they are, users do not meet, a clone's own code is used."""

import os
import subprocess
import sys

import pytest

from book.tools.papers.notebooks import setup_cell

CELL = setup_cell("elr")
PACKAGE = '__book__ = "imperfect-labels"\nwhere = __file__\ndef ensure(slug):\n    pass\n'


def run(folder, env=None, code=CELL, python=(sys.executable, "-S")):
    """The cell in a Python that sees no installed package, in a folder."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BOOK_", "PYTHON", "PIP_"))}
    command = [*python, "-c", f"{code}\nprint(shared.__file__)"]
    return subprocess.run(command, cwd=folder, env={**clean, **(env or {})}, capture_output=True, text=True)


@pytest.fixture
def pip(tmp_path):
    """Stands in for pip: copies a tiny package into the target, or fails with the words of $FAIL."""
    folder = tmp_path / "stand-in"
    (folder / "pip").mkdir(parents=True)
    (folder / "pip/__init__.py").touch()
    (folder / "pip/__main__.py").write_text(
        "import os, pathlib, sys\n"
        "if os.environ.get('FAIL'): sys.exit(os.environ['FAIL'])\n"
        "if os.environ.get('PIP_USER'): sys.exit('ERROR: Can not combine --user and --target')\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1], 'shared')\n"
        "target.mkdir(parents=True)\n"
        f"(target / '__init__.py').write_text({PACKAGE!r})\n"
    )
    (tmp_path / "tmp").mkdir()
    return {"PYTHONPATH": str(folder), "TMPDIR": str(tmp_path / "tmp"), "BOOK_SOURCE": "the-book"}


def test_it_installs_into_a_folder_of_the_users_own(pip, tmp_path):
    done = run(tmp_path, pip)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "tmp" / f"imperfect-labels-main-{os.getuid()}"
    assert done.stdout.strip() == str(home / "shared" / "__init__.py")
    assert run(tmp_path, {**pip, "PIP_USER": "1"}).returncode == 0  # a user's settings for pip do not break it
    # of another user a folder of the old fixed name may be there, that nobody else can write
    assert not [p.name for p in (tmp_path / "tmp").iterdir() if p.name == "imperfect-labels-main"]


def test_three_kernels_at_once(pip, tmp_path):
    for _ in range(3):
        command = [sys.executable, "-S", "-c", f"{CELL}\nprint(shared.where)"]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BOOK_", "PYTHON"))} | pip
        going = [subprocess.Popen(command, cwd=tmp_path, env=env, stdout=-1, stderr=-1, text=True) for _ in range(3)]
        for process in going:
            out, err = process.communicate()
            assert process.returncode == 0, err
            assert "imperfect-labels-main" in out
    # where another one was quicker by a hair, the folder cannot be put into its place: the copy is used where it lies
    late = "import os\ndef no(*_): raise OSError(39, 'Directory not empty')\nos.rename = no\n"
    done = run(tmp_path, pip, late + CELL)
    assert done.returncode == 0 and "imperfect-labels-main" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("No module named pip", "no pip; run `python -m ensurepip`"),
        ("ERROR: Cannot find command 'git' - do you have 'git' installed", "git is missing"),
        ("fatal: unable to access: Could not resolve host: github.com", "the network did not answer"),
        ("error: externally-managed-environment", "pip says: error: externally-managed-environment"),
        ("ERROR: No space left on device", "pip says: ERROR: No space left on device"),
    ],
)
def test_the_cause_is_told_as_it_is(pip, tmp_path, said, told):
    done = run(tmp_path, {**pip, "FAIL": said})
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr
    assert ("network" in done.stderr) == ("network" in told)
    assert not list((tmp_path / "tmp").iterdir()), "something half made was left"


def test_inside_a_clone_its_own_code_is_used(pip, tmp_path):
    """Also where a downloaded package comes first on the path: local edits count."""
    clone, other = tmp_path / "clone", tmp_path / "downloaded"
    for folder in (clone, other):
        (folder / "shared").mkdir(parents=True)
        (folder / "shared/__init__.py").write_text(PACKAGE)
    (clone / "_toc.yml").touch()
    (clone / "notebooks/trust").mkdir(parents=True)
    env = {**pip, "PYTHONPATH": f"{other}{os.pathsep}{pip['PYTHONPATH']}"}
    done = run(clone / "notebooks/trust", env)
    assert done.stdout.strip() == str(clone / "shared/__init__.py"), done.stderr
    twice = f"{CELL}\nshared.mark = 1\n{CELL}\nassert shared.mark == 1, 'imported anew'"
    assert run(clone / "notebooks/trust", env, twice).returncode == 0  # run twice it does nothing more
    # somebody else's repository with a package of that name is no clone of the book
    (clone / "shared/__init__.py").write_text("other = 1\n")
    done = run(clone / "notebooks/trust", env)
    assert done.stdout.strip() == str(other / "shared/__init__.py"), done.stderr
