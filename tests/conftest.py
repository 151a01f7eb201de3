"""Every test runs at `smoke`, on one thread per process, and writes records aside."""

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import data

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    os.environ["BOOK_SCALE"] = "smoke"
    os.environ.pop("BOOK_SEEDS", None)
    os.environ.setdefault("BOOK_OUT", tempfile.mkdtemp(prefix="book-records-"))
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--papers", default="", help="only what concerns these papers: make test PAPERS=...")


def pytest_collection_modifyitems(config, items):
    """Of chosen papers what concerns them; long tests first, so that two workers end together."""
    chosen = set(config.getoption("--papers").replace(",", " ").split())
    if chosen:
        mine = lambda item: (  # noqa: E731
            item.path.stem.removeprefix("test_") in chosen
            or getattr(item, "callspec", None) is not None
            and item.callspec.params.get("slug") in chosen
        )
        config.hook.pytest_deselected(items=[item for item in items if not mine(item)])
        items[:] = [item for item in items if mine(item)]
    items.sort(key=lambda item: "slow" not in item.keywords)


def python(checkout: Path, *words: str, env: dict | None = None, check: bool = False):
    """Run this environment's Python in a checkout, with the checkout's own packages."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")}
    environment |= {"PYTHONPATH": str(checkout), **(env or {})}
    done = subprocess.run([sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


def definitions(slug: str) -> SimpleNamespace:
    """What a notebook defines at its top level: imports, functions and classes; nothing else of it is run.

    So a notebook's losses and estimators are tested where they stand, against a naive version or a peer.
    A function whose defaults are settings of the run (`def f(lr=cfg.lr)`) is left out.
    """
    (path,) = (ROOT / "notebooks").glob(f"*/{slug}.py")
    names: dict = {"__name__": slug}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            try:
                exec(compile(ast.Module([node], []), path, "exec"), names)
            except NameError:
                continue
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("__")})


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory):
    """A copy of the repository with the template's paper only: what the machinery is tested on."""
    tree = tmp_path_factory.mktemp("source") / "book"
    keep = ("_build", ".venv", ".git", "__pycache__", ".pytest_cache", ".ruff_cache", "results")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*keep))
    (tree / "results" / "small").mkdir(parents=True)
    for folder in (tree / "notebooks").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    for page in (tree / "book" / "parts").glob("*.md"):
        page.unlink()
    toc = (tree / "_toc.yml").read_text().splitlines()
    head = toc[: next(i for i, line in enumerate(toc) if "book/results" in line) + 1]
    (tree / "_toc.yml").write_text("\n".join(head) + "\n")
    (tree / "book" / "references.bib").write_text("")
    (tree / "book" / "data.md").write_text("# Data and licences\n\n<!-- made: data -->\n")
    (tree / "book" / "how_to_read.md").write_text("(false-discoveries)=\n# How to read a page\n")
    (tree / "book" / "glossary.md").write_text("# Glossary\n")
    (tree / "book" / "bibliography.md").write_text("# Bibliography\n\n```{bibliography}\n```\n")
    with (tree / "_toc.yml").open("a") as file:
        file.write(
            "  - caption: Behind\n    chapters:\n      - file: book/data\n      - file: book/glossary\n      - file: book/bibliography\n"
        )
    python(tree, "-m", "book.tools.papers.new", "--part", "noisy_labels", "--slug", "toy", check=True)
    python(tree, "-m", "book.tools.papers.new", "--part", "trust", "--slug", "toy_two", check=True)
    for yml in (tree / "notebooks").glob("*/*.yml"):  # not primary: a run of seconds has not the power for that
        yml.write_text(yml.read_text().replace("    primary: true\n", ""))
    two = tree / "notebooks" / "trust" / "toy_two.py"
    # The second paper uses no corruption: it shows which runs an edit of that module concerns.
    text = two.read_text().replace("from shared.corrupt import symmetric\n", "")
    text = text.replace(
        "y_noisy, changed = symmetric(d.y_train, 0.4, 10, g)",
        "changed = torch.rand(len(d.y_train), generator=g) < 0.4\n    y_noisy = torch.where(changed, 9 - d.y_train, d.y_train)",
    )
    two.write_text(text)
    return tree


@pytest.fixture
def checkout(source_tree, tmp_path):
    """A fresh copy of the two-paper repository, under git."""
    tree = tmp_path / "book"
    shutil.copytree(source_tree, tree)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *words], cwd=tree, check=True)
    return tree


def pilot(checkout: Path, *slugs: str) -> None:
    """Run papers of a checkout on pilot seeds, as they must be before their records are accepted."""
    env = {"BOOK_BUILD": str(checkout / "_build/pilot")}
    python(checkout, "-m", "book.tools.upkeep.pilot", "--papers", " ".join(slugs), "--seeds", "5", env=env, check=True)


@pytest.fixture(scope="session")
def html(request):
    """Folder of the site of `smoke` runs of every paper (of those chosen), made by the command that readers use."""
    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build" / "test-site.lock").open("w") as file:  # another worker may be building it: wait, then reuse
        fcntl.flock(file, fcntl.LOCK_EX)
        chosen = ["--papers", request.config.getoption("--papers")]
        done = python(ROOT, "-m", "book.tools.book", "--scale", "smoke", *chosen)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return ROOT / "_build/smoke/_build/html"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Puts files {name: content} of a downloaded set into a mirror folder, and their checksums into the catalogue."""

    def put(name, files, right=True):
        for file, content in files.items():
            (tmp_path / file).write_bytes(content)
        parts = [
            {"url": f"https://example.org/{file}", "sha256": hashlib.sha256(content if right else b"other").hexdigest()}
            for file, content in files.items()
        ]
        entry = data.catalog()[name]
        entry = {**entry, **({"files": parts} if "files" in entry else parts[0])}
        known = {**data.catalog(), name: entry}
        monkeypatch.setattr(data, "catalog", lambda: known)
        monkeypatch.setenv("BOOK_DATA_MIRROR", str(tmp_path))
        monkeypatch.setattr(data, "loaded", {})
        data._read.cache_clear()
        return tmp_path

    yield put
    data._read.cache_clear()
