"""Other people's machines: what stands in a user's environment, home and checkout must not reach a run or break it."""

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from book.tools import ROOT, BookError, cores
from book.tools.papers import notebooks as books
from book.tools.runs import run_one
from data_scripts import environment
from shared import provenance
from tests.conftest import python

BOOK = ("-m", "book.tools.book", "--scale", "smoke", "--papers", "toy", "--no-site")


def pictures(checkout):
    book = json.loads((checkout / "_build/runs/smoke/noisy_labels/toy.ipynb").read_text())
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def said(checkout):
    """What a run wrote beside its results: it would stand on the page."""
    book = json.loads((checkout / "_build/runs/smoke/noisy_labels/toy.ipynb").read_text())
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    return ["".join(output["text"]) for output in outputs if output.get("name") == "stderr"]


def hostile(home):
    """Settings that users have, each of which once cost a figure, a cell or the interpreter."""
    (home / "ipython/profile_default").mkdir(parents=True)
    (home / "ipython/profile_default/ipython_config.py").write_text(
        "c = get_config()\nc.InlineBackend.figure_formats = {'svg'}\n"
    )
    (home / "matplotlibrc").write_text("text.usetex: True\nbackend: svg\n")
    kernel = home / "jupyter/kernels/python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return {
        "MPLBACKEND": "agg",
        "IPYTHONDIR": str(home / "ipython"),
        "MATPLOTLIBRC": str(home / "matplotlibrc"),
        "JUPYTER_PATH": str(home / "jupyter"),
        "PYTHONOPTIMIZE": "1",
        "PYTHONSTARTUP": str(home / "nowhere.py"),
    }


@pytest.mark.slow
def test_a_users_settings_reach_no_run(checkout, tmp_path):
    toy = checkout / "notebooks/noisy_labels/toy.py"
    text = toy.read_text()
    toy.write_text(
        text.replace(
            "paper.report()",
            "assert __debug__\nassert_is_on = False\ntry:\n    assert False\nexcept AssertionError:\n    assert_is_on = True\nif not assert_is_on:\n    raise RuntimeError('asserts are off')\npaper.report()",
        )
    )
    done = python(checkout, *BOOK, env=hostile(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert pictures(checkout) == 1


@pytest.mark.slow
def test_a_run_without_its_figures_is_a_failure(checkout):
    toy = checkout / "notebooks/noisy_labels/toy.py"
    toy.write_text(
        toy.read_text().replace("fig, ax = plt.subplots(", "plt.switch_backend('agg')\nfig, ax = plt.subplots(")
    )
    done = python(checkout, *BOOK)
    assert done.returncode == 1 and "the cell drew no picture" in done.stderr and "toy: cell" in done.stderr
    assert not (checkout / "_build/runs/smoke/noisy_labels/toy.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("names", [["HOME"], ["XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCH_HOME"]])
def test_folders_of_the_user_that_cannot_be_written(checkout, tmp_path, names):
    """As root every folder can be written, so they would lie in a file here."""
    file = tmp_path / "file"
    file.write_text("not a folder")
    done = python(checkout, *BOOK, env={"XDG_CACHE_HOME": "", **{name: str(file / "me") for name in names}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not said(checkout), "a complaint about a folder is on the page"


def test_caches_lie_in_the_build_folder_where_the_home_cannot_be_written(tmp_path):
    home, file = tmp_path / "home", tmp_path / "file"
    home.mkdir()
    file.touch()
    here = lambda **env: run_one.clean({"HOME": str(home), **env}, tmp_path / "work").get("MPLCONFIGDIR")  # noqa: E731
    assert here() is None and here(MPLCONFIGDIR=str(home / "mpl")) == str(home / "mpl")
    for env in (
        {"HOME": str(file)},
        {"MPLCONFIGDIR": str(file / "mpl")},
        {"XDG_CONFIG_HOME": str(file)},
        {"XDG_CACHE_HOME": str(file)},
    ):
        assert here(**env) == str(run_one.BUILD / "cache" / "matplotlib"), env


def test_a_clone_with_other_line_ends_has_the_same_bytes(tmp_path):
    """`core.autocrlf=true`, as on Windows: data, notebooks and scripts are what they were."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    names = [".gitattributes", "shared/data/embedded", "notebooks/noisy_labels", "Makefile"]
    source.mkdir()
    subprocess.run(["cp", "-r", "--parents", *names, str(source)], cwd=ROOT, check=True)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *words], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", str(source), str(clone)], check=True)
    files = [p.relative_to(source) for p in source.rglob("*") if p.is_file() and ".git/" not in f"{p}"]
    assert len(files) > 20
    for name in files:
        assert (clone / name).read_bytes() == (source / name).read_bytes(), name


def floors():
    """Lowest Python that each package of the lock asks for."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in re.findall(r"^([\w.-]+)==", lock, re.M):
        wanted = metadata.metadata(name).get("Requires-Python") or ""
        yield name, [Version(v) for v in re.findall(r">=\s*([\d.]+)", wanted)]


def test_the_python_that_is_stated_is_the_python_that_runs():
    """In pyproject, Makefile and README: no package of the lock asks for a newer one."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = Version(re.search(r'requires-python = ">=([\d.]+)"', project)[1])
    assert f"Python {stated} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"needs Python {stated} or newer" in makefile and f"< ({stated.major}, {stated.minor})" in makefile
    assert f"python>={stated}," in (ROOT / "environment.yml").read_text(encoding="utf-8")
    found = dict(floors())
    assert len(found) > 100
    too_new = {name: [str(v) for v in all_] for name, all_ in found.items() if any(v > stated for v in all_)}
    assert not too_new, f"these need a newer Python than {stated}: {too_new}"


@pytest.mark.parametrize(
    "url",
    ["https://github.com/me/book", "https://github.com/me/book/", "https://github.com/me/book.git", "git@github.com:me/book.git",
     "ssh://git@github.com/me/book", "http://www.github.com/me/book", "github.com/me/book", "me/book",
     "https://GitHub.com/me/book", "https://me@github.com/me/book.git", "git+https://github.com/me/book", "git://github.com/me/book",
     "https://github.com/me/book/tree/main", "https://github.com/me/book#readme", "https://github.com/me/book?tab=readme",
     "ssh://git@github.com:22/me/book", "ssh://git@ssh.github.com:443/me/book.git", "HTTPS://GitHub.com/me/book",
     " https://github.com/me/book \n"],
)  # fmt: skip
def test_addresses_of_the_repository(monkeypatch, url):
    monkeypatch.setattr(books, "config", lambda: {"repository": {"url": url, "branch": "main"}})
    assert books.repository() == ("https://github.com/me/book", "main")
    assert books.colab_url("toy", "trust").endswith("/github/me/book/blob/main/notebooks/trust/toy.ipynb")


def test_a_dot_in_the_name_of_a_repository_stays(monkeypatch):
    monkeypatch.setattr(
        books, "config", lambda: {"repository": {"url": "https://github.com/me/my.book", "branch": "main"}}
    )
    assert books.repository()[0] == "https://github.com/me/my.book"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/me/book",
        "git@example.org:me/book.git",
        "book",
        "",
        None,
        "https://github.com/me",
        "me/..",
        "https://github.com.example.org/me/book",
    ],
)
def test_addresses_that_colab_cannot_open_are_refused(monkeypatch, url):
    monkeypatch.setattr(books, "config", lambda: {"repository": {"url": url, "branch": "main"}})
    with pytest.raises(BookError, match="give a GitHub address"):
        books.repository()


def test_a_book_inside_another_repository_has_no_commit_of_its_own(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    inner = tmp_path / "book-main"
    inner.mkdir()
    (inner / "a").write_text("a")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "outer"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "ROOT", inner)
    assert provenance.commit() == (None, None)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    commit, dirty = provenance.commit()
    assert len(commit) == 10 and dirty is False
    monkeypatch.setenv("PATH", str(inner))  # a machine without git
    assert provenance.commit() == (None, None)


def test_the_commit_is_that_of_the_books_own_checkout(tmp_path, monkeypatch):
    """Also in a worktree, and where a hook of another repository points git to that one."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    heads = {}
    for name in ("book", "other"):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "a").write_text(name)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", name]):
            subprocess.run([*git, *words], cwd=tree, check=True)
        monkeypatch.setattr(provenance, "ROOT", tree)
        heads[name], _ = provenance.commit()
    subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "tree")], cwd=tmp_path / "book", check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    for name in ("book", "tree"):
        monkeypatch.setattr(provenance, "ROOT", tmp_path / name)
        assert provenance.commit() == (heads["book"], False) != (heads["other"], False)


def test_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert cores() == 1


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"/sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"/sys/fs/cgroup/cpu.max": "1600000 100000"}, 8),
        ({"/sys/fs/cgroup/cpu.max": "nonsense"}, 8),
        ({"/proc/self/cgroup": "0::/user.slice/run-1.scope\n",
          "/sys/fs/cgroup/user.slice/cpu.max": "300000 100000"}, 3),
        ({"/proc/self/cgroup": "0::/user.slice/run-1.scope\n",
          "/sys/fs/cgroup/user.slice/run-1.scope/cpu.max": "200000 100000",
          "/sys/fs/cgroup/user.slice/cpu.max": "max 100000"}, 2),
        ({"/proc/self/cgroup": "4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n",
          "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"/proc/self/cgroup": "4:cpu,cpuacct:/slurm/job_1\n",
          "/sys/fs/cgroup/cpu,cpuacct/slurm/job_1/cpu.cfs_quota_us": "400000\n",
          "/sys/fs/cgroup/cpu,cpuacct/slurm/job_1/cpu.cfs_period_us": "100000\n"}, 4),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)  # fmt: skip
def test_the_share_of_time_that_a_container_has(monkeypatch, files, count):
    """In the group of this process or in one around it, of the older and of the newer kind."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    real = Path.read_text

    def said(path, *words, **more):
        if not str(path).startswith(("/sys/", "/proc/")):
            return real(path, *words, **more)
        if str(path) not in files:
            raise FileNotFoundError(str(path))
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", said)
    assert cores() == count


def test_a_lock_that_cannot_be_had_says_why(monkeypatch, tmp_path):
    from book.tools.runs import schedule

    monkeypatch.setattr(schedule, "BUILD", tmp_path)
    for error, says in (
        (BlockingIOError(errno.EWOULDBLOCK, "busy"), "Another `make book` is at work"),
        (OSError(errno.ENOLCK, "No locks available"), r"cannot be locked \(No locks available\).*BOOK_BUILD"),
    ):

        def flock(*_, error=error):
            raise error

        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(BookError, match=says), schedule.only_one():
            pass


@pytest.mark.slow
def test_any_name_of_a_folder_works(checkout, tmp_path):
    """Spaces, brackets, quotes, ampersands and dollars: what people's downloads and names have."""
    place = tmp_path / "Tom & Jerry's  $HOME (1)"
    checkout.rename(place)
    (place / ".venv").symlink_to(sys.prefix)
    env = {name: value for name, value in os.environ.items() if not name.startswith("BOOK_")}
    command = ["make", "-o", "ready", "book", "PAPERS=toy", "SCALE=smoke"]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place / "_build/smoke/_build/html/notebooks/noisy_labels/toy.html").exists()


@pytest.mark.parametrize("name", ["a {x} b", "a [x] b"])
@pytest.mark.parametrize("place", ["ROOT", "BUILD"])
def test_a_folder_that_scheduler_and_site_cannot_name_is_told(monkeypatch, tmp_path, place, name):
    """Braces are placeholders of the one, brackets patterns of the other."""
    from book.tools.runs import schedule

    monkeypatch.setattr(schedule, "BUILD", tmp_path)
    monkeypatch.setattr(schedule, place, tmp_path / name)
    with pytest.raises(BookError, match=f"in its name: rename .*{re.escape(name)}"), schedule.only_one():
        pass


def test_an_environment_that_does_not_serve_says_why(tmp_path, monkeypatch):
    assert environment.complaint() is None
    other = tmp_path / "moved"
    other.mkdir()
    (other / "requirements.lock").write_text("numpy==0.0.1\n")
    assert environment.complaint(other) == "it was made for a book in another folder"
    link = tmp_path / "imperfect_labels.pth"
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    assert environment.complaint(other) == "it was never finished"
    link.write_text(f"{other}\n")
    assert environment.complaint(other).startswith("numpy is ") and "says 0.0.1" in environment.complaint(other)
    (other / "requirements.lock").write_text("no-such-package==1.0\n")  # pip was sent elsewhere: an empty environment
    assert environment.complaint(other) == "no-such-package is not in it"
    (other / "requirements.lock").write_text(f"numpy=={metadata.version('numpy')}\n")
    assert environment.complaint(other) is None


def test_make_makes_the_environment_again_where_it_does_not_work(tmp_path):
    """A dangling interpreter, or none: the environment's rule is reached, and not "Nothing to be done"."""
    tree = tmp_path / "book"
    (tree / "data_scripts").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "data_scripts/environment.py"):
        (tree / name).write_bytes((ROOT / name).read_bytes())
    (tree / ".venv/bin").mkdir(parents=True)
    for target in ("/nowhere/python3", "/bin/false"):
        (tree / ".venv/bin/python").unlink(missing_ok=True)
        (tree / ".venv/bin/python").symlink_to(target)
        done = subprocess.run(["make", "setup", "PYTHON=/bin/false"], cwd=tree, capture_output=True, text=True)
        assert done.returncode != 0 and "environment] Error" in done.stderr, done.stderr


def test_a_users_settings_of_pip_do_not_reach_the_environment(tmp_path):
    """In variables and in pip's own files: `--user` is an error inside an environment, a target leads elsewhere."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    words = re.search(r"@(env .*) \$\(BIN\)/python -m pip install", makefile)[1]
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n")
    env = {
        **os.environ,
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_TARGET": str(tmp_path),
        "PIP_NO_INDEX": "1",
    }
    wheel, venv = tmp_path / "toy_wheel-1-py3-none-any.whl", tmp_path / "venv"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("toy_wheel.py", "")
        file.writestr("toy_wheel-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-wheel\nVersion: 1\n")
        file.writestr("toy_wheel-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("toy_wheel-1.dist-info/RECORD", "")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    command = f"{words} {sys.executable} -m pip --python {venv}/bin/python install --quiet --no-deps {wheel}"
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(venv.glob("lib/python*/site-packages/toy_wheel.py"))


@pytest.mark.slow
def test_what_is_missing_or_damaged_of_a_built_site_is_made_again(checkout):
    words = [word for word in BOOK if word != "--no-site"]
    python(checkout, *words, check=True)
    html = checkout / "_build/smoke/_build/html"
    page = html / "notebooks/noisy_labels/toy.html"
    whole = page.read_bytes()
    for damage in (page.unlink, lambda: shutil.rmtree(html / "_static"), lambda: page.write_text("another builder's")):
        damage()
        done = python(checkout, *words)
        assert done.returncode == 0, done.stderr
        assert page.read_bytes() == whole and (html / "_static/book.css").exists(), damage
    assert "Building" not in python(checkout, *words).stdout
    # a style that was edited reaches the site, though no page changed
    style = checkout / "book/_static/book.css"
    style.write_text(style.read_text() + "/* edited */\n")
    python(checkout, *words, check=True)
    assert (html / "_static/book.css").read_text().endswith("/* edited */\n")
    # what a full disk or a power cut leaves of the book's own notes: empty files
    for name in ("smoke/_build/site-smoke.json", "keys/smoke/toy_two.key", "keys/smoke/toy.key"):
        (checkout / "_build" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / "_build" / name).write_text("")
        done = python(checkout, *words)
        assert done.returncode == 0, f"{name}: {done.stderr}"
    # a truncated notebook is run again, and nothing else stands in the way
    run = checkout / "_build/runs/smoke/noisy_labels/toy.ipynb"
    run.write_bytes(run.read_bytes()[:2000])
    done = python(checkout, *words)
    assert done.returncode == 0 and "running toy" in done.stdout, done.stdout + done.stderr
    json.loads(run.read_text())


def test_a_folder_that_cannot_be_written_says_which_variable_to_set(monkeypatch, tmp_path):
    from book.tools.runs import schedule

    (tmp_path / "file").touch()
    monkeypatch.setattr(schedule, "BUILD", tmp_path / "file" / "_build")
    with pytest.raises(BookError, match="cannot be written .*BOOK_BUILD="), schedule.only_one():
        pass


@pytest.mark.slow
def test_a_relative_build_folder(checkout):
    done = python(checkout, *BOOK, env={"BOOK_BUILD": "elsewhere"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "elsewhere/runs/smoke/noisy_labels/toy.json").exists()
