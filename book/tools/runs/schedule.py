"""Running what is out of date: Snakemake schedules, this shows how far it is and says what failed."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import yaml

from book.tools import BUILD, ROOT, BookError
from book.tools.papers.notebooks import papers, sync
from book.tools.runs.plan import Run, plan
from book.tools.runs.progress import Bars, Lines, time_left
from book.tools.runs.run_one import ANSI, TURN, caches, kill, writable
from shared import data
from shared.record import write_whole


@contextlib.contextmanager
def only_one():
    """Hold the book's lock; a second `make book` says so and leaves. Gives the lock's file number.

    A killed one gives the lock back by dying, once the scheduler, which holds it too, has died as well.
    """
    for folder in (ROOT, BUILD):
        if set("{}[]") & set(str(folder)):
            raise BookError(
                f"Scheduler and site cannot work in a folder with braces or brackets in its name: rename {folder}."
            )
    try:
        BUILD.mkdir(parents=True, exist_ok=True)
        lock = (BUILD / "lock").open("w")
    except OSError as error:
        raise BookError(
            f"{BUILD} cannot be written ({error.strerror}): name a folder that can, such as BOOK_BUILD=~/book-build make book."
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BookError("Another `make book` is at work in this checkout: wait for it to end.") from None
        except OSError as error:
            raise BookError(
                f"{BUILD / 'lock'} cannot be locked ({error.strerror}): the file system has no locks. Name a folder on another "
                "one in $BOOK_BUILD."
            ) from None
        yield file.fileno()


def profiles() -> list[str]:
    """Names of the folders of profiles/: where Snakemake can run the notebooks."""
    return sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))


def check_profile(profile: str) -> None:
    """Raises BookError for a profile that is not there, or whose executor Snakemake lacks here."""
    if profile not in profiles():
        raise BookError(f"Unknown profile {profile!r}: choose from {', '.join(profiles())}.")
    settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text(encoding="utf-8"))
    plugin = f"snakemake-executor-plugin-{settings.get('executor', 'local')}"
    if profile != "local" and importlib.util.find_spec(plugin.replace("-", "_")) is None:
        raise BookError(
            f'Profile {profile!r} needs {plugin}: install it as CONTRIBUTING.md says under "Running on a cluster".'
        )


def schedule(stale: list[Run], cores: int, profile: str, lock: int) -> list[dict]:
    """Run what is stale, all of one scale, through Snakemake, showing progress; the failures (slug, cell, error, log)."""
    scale = stale[0].scale
    for run in stale:
        run.failure.unlink(missing_ok=True)
    turn = uuid.uuid4().hex
    write_whole(TURN, turn)  # what a killed `make book` left at work on a cluster ends when it sees this
    for leftover in (BUILD / "work" / scale).glob("*"):
        shutil.rmtree(leftover, ignore_errors=True)
    log = BUILD / "runs" / scale / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(BUILD / "engine"), "--profile", str(ROOT / "profiles" / profile)),
        *(("--cores", str(cores)) if profile == "local" else ()),
        *("--keep-going", "--rerun-incomplete", "--nolock", "--rerun-triggers", "mtime"),
        *("--config", f"scale={scale}", f"runs={','.join(run.name for run in stale)}"),
    ]
    env = {
        **os.environ,
        # The scheduler keeps a cache; where the home cannot be written, in the build folder.
        **({} if writable(caches(os.environ)[1] / "snakemake") else {"XDG_CACHE_HOME": str(BUILD / "cache")}),
        "BOOK_TURN": turn,
        **({"BOOK_DRIVER": str(os.getpid())} if profile == "local" else {}),
        "BOOK_BUILD": str(BUILD),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    with log.open("w") as out:
        # On a cluster in a group of its own: of two Ctrl-C, the terminal's and ours, the second would keep it from
        # taking its jobs back.
        group = {} if profile == "local" else {"process_group": 0}
        engine = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, pass_fds=[lock], **group
        )
        try:
            watch(engine, stale, cores)
        except KeyboardInterrupt:
            if profile == "local":
                # Asked politely it would wait for its runs, and what they have not finished counts for nothing.
                kill(engine)
            else:
                engine.send_signal(signal.SIGINT)
            engine.wait()
            raise BookError(
                "Interrupted: what was finished is kept, the next `make book` goes on from there."
            ) from None
    why = f"it never ran; the scheduler: {complaint(log)}"
    if engine.returncode < 0:
        why = f"it was not finished when the scheduler was killed (signal {-engine.returncode})"
    failures = []
    for run in stale:
        if run.is_fresh():
            continue
        try:
            failures.append(json.loads(run.failure.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):  # none, or cut off by a full disk
            failures.append({"slug": run.name, "cell": None, "error": why, "log": str(log)})
    if engine.returncode and not failures:
        raise BookError(f"Snakemake ended with exit code {engine.returncode}: see {log}.")
    return failures


def complaint(log: Path) -> str:
    """The first line of the scheduler's log that names an error, with the next one; else its last line."""
    lines = [line.strip() for line in ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()]
    lines = [line for line in lines if line] or ["it said nothing"]
    place = next((i for i, line in enumerate(lines) if re.search(r"\w+Error\b|\berror\b", line)), len(lines) - 1)
    return " ".join(lines[place : place + 2])[:400]


def watch(engine: subprocess.Popen, runs: list[Run], cores: int) -> None:
    """Show what is done, what runs and the time that is left, until the scheduler ends: bars on a terminal, else lines."""
    costs = {run.name: run.seconds() for run in runs}
    begun: dict[str, float] = {}
    took: dict[str, float] = {}
    failed: set[str] = set()
    with (Bars if sys.stdout.isatty() else Lines)(len(runs)) as display:
        while True:
            over, now = engine.poll() is not None, time.monotonic()
            for run in runs:
                name = run.name
                if name in took:
                    continue
                if run.failure.exists() or (run.notebook.exists() and run.record.exists()):
                    took[name] = now - begun.get(name, now)
                    if run.failure.exists():
                        failed.add(name)
                elif run.work.exists():
                    begun.setdefault(name, now)
            running = {name: now - start for name, start in begun.items() if name not in took}
            rest = None if over else time_left(costs, took, running, cores)
            display.show([name + " (failed)" * (name in failed) for name in took], running, costs, rest)
            if over:
                return
            time.sleep(0.3)


def run_all(runs: list[Run], cores: int, profile: str, lock: int) -> bool:
    """Run what is out of date; False, each failure named, where a notebook failed.

    Args:
        runs: all of one scale. lock: number of the lock's file.
    """
    data.verify()
    for path in sync(list(papers())):
        print(f"  synced {path.relative_to(ROOT)}")
    stale = plan(runs)
    failures = []
    if stale:
        things = "groups of seeds" if stale[0].group else "papers"
        print(
            f"{len(runs) - len(stale)} of {len(runs)} {things} are up to date at {stale[0].scale}; running "
            f"{', '.join(run.name for run in stale)}."
        )
        failures = schedule(stale, cores, profile, lock)
    if failures:
        print("\nThese notebooks failed; the others are done and kept.", file=sys.stderr)
    for failure in failures:
        where = f"cell {failure['cell']}: " if failure["cell"] else ""
        print(f"  {failure['slug']}: {where}{failure['error']}\n    log: {failure['log']}", file=sys.stderr)
    return not failures
