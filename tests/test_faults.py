"""Faults in the middle of a run: what was finished is kept, nothing half-written counts, one sentence says why."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import pilot, python
from tests.test_book import BOOK, RUNS, at_work, book, ran
from tests.test_keys import TOY, edit

NO_RESULT = "import time\ntime.sleep(120)\naccuracy = {"


def start(checkout, *words, env=None, executable=sys.executable):
    """A `make book` in the background."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")}
    environment |= {"PYTHONPATH": str(checkout), **(env or {})}
    return subprocess.Popen(
        [executable, *BOOK, "--no-site", *words],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would all that these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(what, seconds=120):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def process(parent, word, cwd=""):
    """A descendant of a process by a word of its command line and its folder."""
    for child in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if word in " ".join(child.cmdline()) and child.cwd().endswith(cwd):
                return child
    return None


def check_only_toy_two_counts(checkout, done_code, stderr):
    """After a fault in `toy`: exit code, no traceback, the other one kept, no half of the faulty one."""
    assert done_code == 1 and "Traceback" not in stderr, stderr
    assert (checkout / RUNS / "trust/toy_two.json").exists()
    assert not list((checkout / RUNS / "noisy_labels").glob("toy.json*"))
    assert not (checkout / RUNS / "noisy_labels/toy.ipynb").exists()
    wait_for(lambda: not at_work(checkout), 10)  # nobody works on for a result that nobody waits for


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "says"),
    [("ipykernel_launcher", "its kernel died"), ("snakemake", "when the scheduler was killed (signal 9)")],
)
def test_kill_of_a_kernel_and_of_the_scheduler(checkout, word, says):
    edit(checkout / TOY, "accuracy = {", NO_RESULT)
    running = start(checkout, "--cores", "2")
    finished = checkout / RUNS / "trust/toy_two.json"
    wait_for(finished.exists)
    place = "_build/work/smoke/toy" if word == "ipykernel_launcher" else ""
    wait_for(lambda: process(running.pid, word, place)).kill()
    _, stderr = running.communicate(timeout=60)
    assert says in stderr and "toy" in stderr, stderr
    before = finished.read_text()
    check_only_toy_two_counts(checkout, running.returncode, stderr)

    edit(checkout / TOY, NO_RESULT, "accuracy = {")
    again = book(checkout, "--no-site")
    assert again.returncode == 0 and ran(again) == {"toy"} and finished.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize(("dies", "starts"), [(1, 2), (9, 3)])
def test_a_kernel_that_dies_before_it_runs_anything_is_started_again_twice_at_most(checkout, dies, starts):
    """As when another program takes one of its ports."""
    count = checkout.parent / "starts"
    count.touch()
    (checkout / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'ipykernel_launcher' in sys.orig_argv:\n"
        f"    open({str(count)!r}, 'a').write('.')\n"
        f"    if os.path.getsize({str(count)!r}) <= {dies}:\n"
        "        os._exit(1)\n"
    )
    code = "from book.tools.runs.plan import Run, plan; plan([Run.of('toy', 'smoke')])"
    python(checkout, "-c", code, check=True)
    done = python(checkout, "-m", "book.tools.runs.run_one", "toy", "--scale", "smoke")
    assert count.stat().st_size == starts, done.stdout + done.stderr
    assert done.returncode == (dies > 2), done.stdout[-2000:] + done.stderr[-2000:]
    assert (checkout / RUNS / "noisy_labels/toy.json").exists() == (dies <= 2)
    if dies > 2:
        assert "Kernel died before replying" in done.stderr


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_of_a_run(checkout):
    """A limit on file sizes stands for the disk: writes begin and break off, in the record and in the notebook."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({0}, resource.RLIM_INFINITY))\n"
    report = "paper.report()"
    edit(checkout / TOY, report, limit.format(600) + report)
    done = book(checkout, "--no-site")
    assert "OSError" in done.stderr and "File too large" in done.stderr, done.stderr
    check_only_toy_two_counts(checkout, done.returncode, done.stderr)

    edit(checkout / TOY, limit.format(600) + report, report)
    command = f'ulimit -f 8 && exec "{sys.executable}" {" ".join(BOOK)} --no-site'
    env = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")} | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(["bash", "-c", command], cwd=checkout, env=env, capture_output=True, text=True)
    assert "File too large" in done.stderr, done.stdout + done.stderr
    check_only_toy_two_counts(checkout, done.returncode, done.stderr)


@pytest.mark.slow
def test_a_full_disk_leaves_the_accepted_record(checkout):
    (checkout / "README.md").write_text("# Toy\n\n<!-- table: begin -->\n<!-- table: end -->\n")
    pilot(checkout, "toy")
    python(checkout, "-m", "book.tools.upkeep.records", "--papers", "toy", check=True)
    files = [checkout / name for name in ("results/small/toy.json", "results/small/verdicts.csv", "README.md")]
    before = [file.read_text() for file in files]
    edit(checkout / TOY, "lr=0.05", "lr=0.01")
    full = (
        "import os, sys\n"
        "def full(_): raise OSError(28, 'No space left on device')\n"
        "os.fsync = full\n"
        "from book.tools.upkeep.records import main\n"
        "sys.argv = ['records', '--papers', 'toy', *{}]\n"
        "sys.exit(main())"
    )
    for words in ([], ["--refresh"]):
        done = python(checkout, "-c", full.format(words))
        assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
        assert [file.read_text() for file in files] == before
        assert not list((checkout / "results").rglob("*.partial"))


@pytest.mark.slow
def test_results_twice_and_two_at_once_are_the_same(checkout):
    def results(build):
        found = {path.stem: path.read_text() for path in (build / "runs/smoke").glob("*/toy*.json")}
        return {slug: json.loads(text)["results"] for slug, text in found.items()}

    assert book(checkout, "--no-site").returncode == 0
    alone = results(checkout / "_build")
    builds = [checkout / "_build_a", checkout / "_build_b"]
    both = [start(checkout, "--cores", "2", env={"BOOK_BUILD": str(build)}) for build in builds]
    for running in both:
        _, stderr = running.communicate(timeout=300)
        assert running.returncode == 0, stderr
    assert set(alone) == {"toy", "toy_two"}
    assert results(builds[0]) == alone and results(builds[1]) == alone


@pytest.mark.slow
def test_ctrl_c_says_that_what_was_finished_is_kept(checkout):
    edit(checkout / TOY, "accuracy = {", NO_RESULT)
    running = start(checkout, "--cores", "2")
    wait_for((checkout / RUNS / "trust/toy_two.json").exists)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert stderr.startswith("make book: Interrupted: what was finished is kept") and stderr.count("\n") == 1
    check_only_toy_two_counts(checkout, running.returncode, stderr)


@pytest.mark.slow
def test_a_killed_book_keeps_its_lock_until_its_scheduler_has_ended(checkout):
    edit(checkout / TOY, "accuracy = {", NO_RESULT)
    running = start(checkout)
    wait_for((checkout / "_build/work/smoke/toy").exists)
    engine = process(running.pid, "snakemake")
    engine.suspend()  # so that it is there for certain
    running.kill()
    running.communicate()
    second = book(checkout, "--no-site")
    assert second.returncode == 1 and "Another `make book` is at work" in second.stderr
    engine.kill()
    edit(checkout / TOY, NO_RESULT, "accuracy = {")
    assert book(checkout, "--no-site").returncode == 0
