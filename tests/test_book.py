"""`make book` on a repository of two small papers: what runs again, what is said when something breaks."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from shared.record import results_digest
from tests.conftest import pilot, python
from tests.test_keys import TOY, TWO, edit

BOOK = ("-m", "book.tools.book", "--scale", "smoke")
RUNS = "_build/runs/smoke"


def book(checkout, *words, env=None):
    return python(checkout, *BOOK, *words, env=env)


def ran(done):
    """Slugs that a `make book` set out to run."""
    line = next((line for line in done.stdout.splitlines() if "; running " in line and "up to date" in line), "")
    return set(line.split("; running ")[-1].rstrip(".").split(", ")) if line else set()


def at_work(checkout):
    """Processes whose current folder lies in the checkout."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd().startswith(str(checkout)):
                found.append(process.cmdline())
    return found


@pytest.mark.slow
def test_run_build_and_run_only_what_changed(checkout):
    first = book(checkout)
    assert first.returncode == 0, first.stdout + first.stderr
    assert ran(first) == {"toy", "toy_two"}
    html = checkout / "_build/smoke/_build/html"
    page = html / "notebooks/noisy_labels/toy.html"
    assert "2 of 2 done" in first.stdout and str(html / "index.html") in first.stdout
    records = {p.stem: p.read_text() for p in (checkout / RUNS).rglob("toy*.json")}
    assert set(records) == {"toy", "toy_two"}

    # nothing changed, and every file touched: nothing runs, the site stays
    built = page.stat().st_mtime
    for path in [
        *(checkout / "notebooks").rglob("*.*"),
        *(checkout / "shared").rglob("*.py"),
        *(checkout / "_build/keys").rglob("*.key"),
    ]:
        os.utime(path)
    again = book(checkout)
    assert again.returncode == 0 and ran(again) == set() and page.stat().st_mtime == built

    # prose: nothing runs, the page is new
    edit(checkout / TOY, "What is hard, what people did before", "What is very hard here")
    prose = book(checkout)
    assert prose.returncode == 0 and ran(prose) == set()
    assert "What is very hard here" in page.read_text()

    # a docstring: nothing; a line of a module: its importer; with the same numbers the record says so
    edit(checkout / "shared/corrupt.py", '"""Symmetric label noise.', '"""Noise that is symmetric.')
    assert ran(book(checkout, "--no-site")) == set()
    edit(checkout / "shared/corrupt.py", "noisy = y.clone()", "noisy = y.clone() + 0")
    module = book(checkout, "--no-site")
    assert ran(module) == {"toy"}
    old, new = json.loads(records["toy"]), json.loads((checkout / RUNS / "noisy_labels/toy.json").read_text())
    assert new["results"] == old["results"] and new["provenance"]["result_hash"] != old["provenance"]["result_hash"]

    # code of one notebook: that one; a record edited by hand: that one
    edit(checkout / TWO, "lr=0.05", "lr=0.06")
    assert ran(book(checkout, "--no-site")) == {"toy_two"}
    record = checkout / RUNS / "noisy_labels/toy.json"
    record.write_text(record.read_text().replace('"unit": "%"', '"unit": "x"', 1))
    assert ran(book(checkout, "--no-site")) == {"toy"}

    # more seeds, one paper: in groups of the default size or more, merged aside; the run and the site stay
    before, built = record.read_text(), page.stat().st_mtime
    more = book(checkout, "--papers", "toy", "--seeds", "5", "--cores", "2")
    assert more.returncode == 0, more.stdout + more.stderr
    assert ran(more) == {"toy+0-1", "toy+2-4"} and "5 seeds in 2 groups" in more.stdout and "noise_hurts" in more.stdout
    merged = json.loads((checkout / "_build/seeds/smoke/noisy_labels/toy.json").read_text())
    assert merged["results"]["seeds"] == [0, 1, 2, 3, 4] and merged["provenance"]["result_hash"] is None
    assert [group["seeds"] for group in merged["provenance"]["groups"]] == [[0, 1], [2, 3, 4]]
    alone = json.loads(before)["results"]
    assert alone["seeds"] == [0, 1]  # a group of seeds gives the numbers of a run of these seeds
    assert merged["results"]["arms"][0]["values"][:2] == alone["arms"][0]["values"]
    assert record.read_text() == before and page.stat().st_mtime == built
    assert ran(book(checkout, "--papers", "toy", "--seeds", "5")) == set()


@pytest.mark.slow
def test_a_notebook_that_raises_is_named_and_the_others_finish(checkout):
    edit(checkout / TOY, "assert torch.allclose(", "raise RuntimeError('on purpose')\nassert torch.allclose(")
    done = book(checkout)
    assert done.returncode == 1
    assert "toy: cell" in done.stderr and "RuntimeError: on purpose" in done.stderr and "toy.log" in done.stderr
    assert "No site was built" in done.stderr and not (checkout / "_build/smoke/_build/html").exists()
    assert (checkout / RUNS / "trust/toy_two.json").exists()
    assert not (checkout / RUNS / "noisy_labels/toy.json").exists()
    cell = int(done.stderr.split("toy: cell ")[1].split(":")[0])
    cells = json.loads((checkout / "notebooks/noisy_labels/toy.ipynb").read_text())["cells"]
    assert "on purpose" in "".join(cells[cell - 1]["source"])

    # mended: only the failed one runs
    edit(checkout / TOY, "raise RuntimeError('on purpose')\n", "")
    assert ran(book(checkout, "--no-site")) == {"toy"}


@pytest.mark.slow
def test_a_killed_book_goes_on_from_what_was_finished(checkout):
    """kill -9 of the whole group while the second paper runs."""
    edit(checkout / TWO, "accuracy = {", "import time\ntime.sleep(12)\naccuracy = {")
    command = [sys.executable, *BOOK, "--cores", "2", "--no-site"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")} | {"PYTHONPATH": str(checkout)}
    process = subprocess.Popen(command, cwd=checkout, env=env, start_new_session=True, stdout=subprocess.DEVNULL)
    finished = checkout / RUNS / "noisy_labels/toy.json"
    limit = time.monotonic() + 90
    while not finished.exists() and time.monotonic() < limit:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert finished.exists() and not (checkout / RUNS / "trust/toy_two.json").exists()
    before = finished.read_text()
    done = book(checkout, "--no-site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(done) == {"toy_two"} and finished.read_text() == before
    assert not at_work(checkout)


@pytest.mark.slow
def test_limits_of_time_and_memory(checkout):
    edit(checkout / TOY, "accuracy = {", "import time\ntime.sleep(60)\naccuracy = {")
    edit(checkout / TWO, "accuracy = {", "hog = torch.ones(400, 2**20)\naccuracy = {")
    python(checkout, "-m", "book.tools.papers.sync", check=True)
    code = "from book.tools.runs.plan import Run, plan; plan([Run.of(slug, 'smoke') for slug in ('toy', 'toy_two')])"
    python(checkout, "-c", code, check=True)
    slow = python(checkout, "-m", "book.tools.runs.run_one", "toy", "--scale", "smoke", "--timeout", "12")
    assert slow.returncode == 1 and "longer than its limit of 12 s" in slow.stderr
    hog = python(checkout, "-m", "book.tools.runs.run_one", "toy_two", "--scale", "smoke", "--memory", "1500")
    assert hog.returncode == 1 and "more than its limit of 1500 MiB" in hog.stderr
    assert not list((checkout / RUNS).rglob("toy*.json.*")) and not list((checkout / RUNS).rglob("toy.json"))
    assert not at_work(checkout)  # no kernel goes on alone


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--papers", "elrr"], "Unknown paper 'elrr': choose from toy, toy_two"),
        (["--scale", "huge"], "Unknown scale 'huge'"),
        (["--profile", "moon"], "Unknown profile 'moon': choose from local, slurm"),
        (["--profile", "slurm"], "needs snakemake-executor-plugin-slurm: install it as CONTRIBUTING.md says"),
        (["--seeds", "many"], "give a count"),
        (["--seeds", "0"], "at least one"),
        (["--seeds", "-3"], "whole numbers from 0"),
        (["--seeds", "1,1"], "every seed may be named once"),
    ],
)
def test_bad_words_are_one_sentence(checkout, words, says):
    done = book(checkout, *words)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_scheduler_that_does_not_start_is_quoted(checkout):
    edit(checkout / "Snakefile", "SCALE = config", "raise ValueError('no such cluster')\nSCALE = config")
    done = book(checkout, "--papers", "toy")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "toy: it never ran; the scheduler: ValueError" in done.stderr and "no such cluster" in done.stderr


def test_snakemake_by_itself_says_who_plans(checkout):
    done = python(checkout, "-m", "snakemake", "--config", "scale=smoke")
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert "Nothing is planned at smoke for toy, toy_two: `make book SCALE=smoke` plans the runs" in said


def test_a_damaged_data_file_stops_before_anything_runs(checkout):
    file = checkout / "shared/data/embedded/fashion_mnist.npz"
    file.write_bytes(file.read_bytes()[:-1])
    done = book(checkout)
    assert done.returncode == 1 and "fashion_mnist.npz is damaged" in done.stderr and "git checkout" in done.stderr


def test_an_edited_ipynb_is_not_overwritten(checkout):
    path = checkout / "notebooks/noisy_labels/toy.ipynb"
    path.write_text(path.read_text().replace("Baselines under the same conditions", "My own words"))
    done = python(checkout, "-m", "book.tools.papers.sync")
    assert done.returncode == 1 and "was edited, but the .py is the source" in done.stderr
    assert "My own words" in path.read_text()


def test_two_books_at_once(checkout):
    code = (
        "import book.tools.book as b, subprocess, sys\n"
        "with b.only_one():\n"
        "    sys.exit(subprocess.run([sys.executable, '-m', 'book.tools.book', '--scale', 'smoke']).returncode)"
    )
    done = python(checkout, "-c", code)
    assert done.returncode == 1 and "Another `make book` is at work" in done.stderr


@pytest.mark.parametrize(
    ("part", "slug", "says"),
    [("nowhere", "x", "Unknown part"), ("trust", "9lives", "is no slug"), ("trust", "toy_two", "already")],
)
def test_a_new_paper_with_a_bad_name(checkout, part, slug, says):
    done = python(checkout, "-m", "book.tools.papers.new", "--part", part, "--slug", slug)
    assert done.returncode == 1 and says in done.stderr


@pytest.mark.slow
def test_records_are_accepted_with_what_changed(checkout):
    readme = checkout / "README.md"
    readme.write_text("# Toy\n\n<!-- table: begin -->\n<!-- table: end -->\n\nAfter.\n")
    picture = (checkout / "book/_static/figures.png").read_bytes()
    # no record without a pilot, and none of claims that were not committed before
    accepting = ["-m", "book.tools.upkeep.records", "--papers", "toy"]
    done = python(checkout, *accepting)
    assert done.returncode == 1 and "toy has no pilot: run make pilot PAPERS=toy" in done.stderr
    pilot(checkout, "toy")
    yml = checkout / "notebooks/noisy_labels/toy.yml"
    edit(yml, "delta: 3.0", "delta: 2.9")
    done = python(checkout, *accepting)
    assert done.returncode == 1 and "its claims are not committed" in done.stderr
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "commit", "-qam", "another delta"], cwd=checkout, check=True)
    done = python(checkout, *accepting)
    assert done.returncode == 1 and "its pilot knows other claims than noise_hurts" in done.stderr
    assert not (checkout / "results/small/toy.json").exists()
    pilot(checkout, "toy")
    first = python(checkout, *accepting, check=True)
    assert "toy: first record" in first.stdout
    known = json.loads((checkout / "results/small/toy.json").read_text())["provenance"]["registration"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True).stdout
    assert head.startswith(known["commit"]) and known["changed"] == [] and known["pilot"]
    # of the paper that has no run here the README's picture would lose its figure
    assert (checkout / "book/_static/figures.png").read_bytes() == picture
    accepted = checkout / "results/small/toy.json"
    text = accepted.read_text()
    assert (
        "| [toy](https://imperfect-labels.github.io/book/notebooks/noisy_labels/toy.html): Toy" in readme.read_text()
        and "After." in readme.read_text()
    )
    assert (checkout / "results/small/verdicts.csv").read_text().count("\n") == 2
    same = python(checkout, "-m", "book.tools.upkeep.records", "--papers", "toy", check=True)
    assert "toy: same results" in same.stdout and accepted.read_text() == text
    # a refactoring that alters no number: only the label changes
    edit(checkout / "shared/corrupt.py", "noisy = y.clone()", "noisy = y.clone() + 0")
    relabel = python(checkout, "-m", "book.tools.upkeep.records", "--papers", "toy", check=True)
    assert "toy: same results, new hash" in relabel.stdout
    # a change that alters them is shown claim by claim
    edit(checkout / TOY, "lr=0.05", "lr=0.01")
    changed = python(checkout, "-m", "book.tools.upkeep.records", "--papers", "toy", check=True)
    assert "noise_hurts:" in changed.stdout and "->" in changed.stdout
    drift = python(checkout, "-m", "book.tools.upkeep.drift")
    assert drift.returncode == 0 and "same to the bit" in drift.stdout and "times as long" not in drift.stdout
    # a run that took longer than it used to is told, and is no failure
    record = json.loads(accepted.read_text())
    run = checkout / "_build/runs/small/noisy_labels/toy.json"
    slow = json.loads(run.read_text())
    slow["provenance"]["seconds"] = max(record["provenance"]["seconds"], 1.0) * 1.6
    run.write_text(json.dumps(slow))
    drift = python(checkout, "-m", "book.tools.upkeep.drift")
    assert drift.returncode == 0 and "toy: took 1.60 times as long as the accepted run" in drift.stdout
    # a run that turns a verdict is drift; nothing is published then
    edit(checkout / TOY, "lr=0.01", "lr=1e-9")
    python(checkout, "-m", "book.tools.book", "--papers", "toy", "--scale", "small", "--no-site", check=True)
    drift = python(checkout, "-m", "book.tools.upkeep.drift")
    assert drift.returncode == 1 and "toy: noise_hurts: trivial -> not seen" in drift.stdout
    assert "1 papers changed" in drift.stdout
    # and so is a run that is not there
    run.unlink()
    drift = python(checkout, "-m", "book.tools.upkeep.drift")
    assert drift.returncode == 1 and "toy: there is no run at small: say make book PAPERS=toy" in drift.stdout
    # accepted after all, the move is written down; so is a claim that changed after its first record
    python(checkout, *accepting, check=True)
    changes = (checkout / "results/CHANGES.md").read_text()
    assert "- `noise_hurts`: holds -> " in changes and "## toy at small" in changes
    edit(yml, "delta: 2.9", "delta: 2.8")
    subprocess.run([*git, "commit", "-qam", "a delta after the numbers"], cwd=checkout, check=True)
    pilot(checkout, "toy")
    edit(checkout / TOY, "lr=1e-9", "lr=2e-9")
    python(checkout, *accepting, check=True)
    assert json.loads(accepted.read_text())["provenance"]["registration"]["changed"] == ["noise_hurts"]
    # an accepted record that is older than its source is marked
    edit(checkout / TOY, "lr=2e-9", "lr=0.02")
    python(checkout, "-m", "book.tools.upkeep.records", "--refresh", check=True)
    assert "stale" in readme.read_text()


@pytest.mark.slow
def test_drift_runs_again_aside_and_goes_on_where_it_was_killed(checkout):
    (checkout / "README.md").write_text("<!-- table: begin -->\n<!-- table: end -->\n")
    picture = (checkout / "book/_static/figures.png").read_bytes()
    pilot(checkout, "toy", "toy_two")
    python(checkout, "-m", "book.tools.upkeep.records", check=True)
    assert (checkout / "book/_static/figures.png").read_bytes() != picture
    here = {"BOOK_BUILD": str(checkout / "_build/drift")}
    words = ["-m", "book.tools.upkeep.drift", "--again"]

    def dates():
        found = (checkout / "_build/drift/runs/small").glob("*/toy*.json")
        return {path.stem: json.loads(path.read_text())["provenance"]["date"] for path in found}

    done = python(checkout, *words)
    assert done.returncode == 1 and "Name a folder for these runs in $BOOK_BUILD" in done.stderr
    first = python(checkout, *words, env=here, check=True)
    assert first.stdout.count("same to the bit") == 2 and "No verdict changed" in first.stdout
    once = dates()
    again = python(checkout, *words, "--papers", "toy", env=here, check=True)
    assert again.stdout.count("same to the bit") == 1 and set(dates()) == {"toy"}  # what had served went
    assert dates()["toy"] > once["toy"]
    # killed before the comparison: what was finished stays
    (checkout / "_build/drift/compared").unlink()
    second = dates()
    assert ran(python(checkout, *words, env=here, check=True)) == {"toy_two"} and dates()["toy"] == second["toy"]

    # a newer library gives other numbers from the same source
    accepted = checkout / "results/small/toy.json"
    record = json.loads(accepted.read_text())
    (arm,) = [a for a in record["results"]["arms"] if a["arm"] == "true labels"]
    arm["values"] = [v - 30 for v in arm["values"]]
    record["provenance"] |= {"versions": {**record["provenance"]["versions"], "torch": "1.0"},
                             "results_digest": results_digest(record["results"])}  # fmt: skip
    accepted.write_text(json.dumps(record))
    moved = python(checkout, *words, "--papers", "toy", env=here)
    assert (
        moved.returncode == 1 and "toy: noise_hurts:" in moved.stdout and "1 papers changed a verdict" in moved.stdout
    )
    assert "torch was 1.0, is " in moved.stdout and "(toy)" in moved.stdout and "result_hash" not in moved.stdout

    # a notebook that fails here is named, and the rest compared
    edit(checkout / TWO, "accuracy = {", "raise RuntimeError('on purpose')\naccuracy = {")
    broken = python(checkout, *words, "--papers", "toy_two", env=here)
    assert broken.returncode == 1 and "RuntimeError: on purpose" in broken.stderr and "no run" in broken.stdout


@pytest.mark.slow
def test_runs_at_full_are_accepted_by_name_and_marked_when_their_source_changes(checkout):
    accepting = ("-m", "book.tools.upkeep.records", "--scale")
    done = python(checkout, *accepting, "smoke", "--papers", "toy")
    assert done.returncode == 1 and "Accept at small or at full" in done.stderr
    # without papers the queue is shown, and with hours what fits them is run
    waits = python(checkout, *accepting, "full", check=True).stdout
    assert "toy_two" in waits and "never run" in waits and "Say HOURS=1" in waits
    none = python(checkout, *accepting, "full", "--hours", "0.001", check=True).stdout
    assert "nothing fits" in none and not (checkout / "results/full").exists()
    done = python(checkout, "-m", "book.tools.upkeep.records", "--scale", "full", "--papers", "toy", check=True)
    assert "toy: first record" in done.stdout and not list((checkout / "results/small").glob("*.json"))
    assert json.loads((checkout / "results/full/toy.json").read_text())["results"]["scale"] == "full"
    marks = ["-c", "from book.tools.site import verdicts; print(verdicts.stale_marks(verdicts.accepted('full')))"]
    assert python(checkout, *marks, check=True).stdout.strip() == "{}"

    # where every seed was a job, the merged record is accepted
    program = (
        "from book.tools import book\nfrom book.tools.upkeep import records\n"
        "book.make('toy', 'full', [0, 1, 2, 3, 4])\n"
        "records.accept('toy', 'full', merged=True)"
    )
    done = python(checkout, "-c", program, check=True)
    assert "5 seeds in 5 groups" in done.stdout and "toy: same results, new hash" in done.stdout
    merged = json.loads((checkout / "results/full/toy.json").read_text())
    assert len(merged["provenance"]["groups"]) == 5 and python(checkout, *marks, check=True).stdout.strip() == "{}"
    edit(checkout / TOY, "lr=0.05", "lr=0.01")
    assert "stale: the source has changed" in python(checkout, *marks, check=True).stdout
    done = python(checkout, "-c", "from book.tools.upkeep import records; records.accept('toy', 'full', merged=True)")
    assert "toy has no run of today's source at full" in done.stderr
