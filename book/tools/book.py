"""`make book`: run what is out of date, build the site, end with the verdicts and the path to open."""

from __future__ import annotations

import argparse
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

from book.tools import BUILD, ROOT, BookError, merge
from book.tools import cores as usable
from book.tools import plan as planning
from book.tools.notebooks import papers, select, sync
from book.tools.pages import tally
from book.tools.plan import folder
from book.tools.run_one import ANSI, TURN, kill
from shared import data
from shared.record import RecordError, describe, read_record, verdicts, write_whole
from shared.scales import resolve_scale, resolve_seeds
from shared.show import effect_text, verdict_text


@contextlib.contextmanager
def only_one():
    """Hold the book's lock; a second `make book` says so and leaves. Gives the lock's file number.

    A killed one gives the lock back by dying, once the scheduler, which holds it too, has died as well.
    """
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


def schedule(scale: str, stale: list[str], cores: int, profile: str, lock: int) -> list[dict]:
    """Run the stale papers through Snakemake, showing progress; the failures (slug, cell, error, log)."""
    for slug in stale:
        (folder(scale, slug) / f"{slug}.failure.json").unlink(missing_ok=True)
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
        *("--config", f"scale={scale}", f"papers={','.join(stale)}"),
    ]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = next((folder for folder in (cache, *cache.parents) if folder.exists()), cache)
    env = {
        **os.environ,
        # The scheduler keeps a cache; where the home cannot be written, in the build folder.
        **({} if home.is_dir() and os.access(home, os.W_OK) else {"XDG_CACHE_HOME": str(BUILD / "cache")}),
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
            watch(engine, scale, stale, cores)
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
    for slug in stale:
        problem = folder(scale, slug) / f"{slug}.failure.json"
        if planning.is_fresh(scale, slug):
            continue
        if problem.exists():
            failures.append(json.loads(problem.read_text(encoding="utf-8")))
        else:
            failures.append({"slug": slug, "cell": None, "error": why, "log": str(log)})
    if engine.returncode and not failures:
        raise BookError(f"Snakemake ended with exit code {engine.returncode}: see {log}.")
    return failures


def complaint(log: Path) -> str:
    """The first line of the scheduler's log that names an error, with the next one; else its last line."""
    lines = [line.strip() for line in ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()]
    lines = [line for line in lines if line] or ["it said nothing"]
    place = next((i for i, line in enumerate(lines) if re.search(r"\w+Error\b|\berror\b", line)), len(lines) - 1)
    return " ".join(lines[place : place + 2])[:400]


def watch(engine: subprocess.Popen, scale: str, stale: list[str], cores: int) -> None:
    """Print a line whenever a run starts or ends, and every half minute: done, running, time left."""
    costs = {slug: planning.seconds(slug) if scale == "small" else 15.0 for slug in stale}
    # Looked up once: to ask for the papers at every turn took a third of a core from the runs.
    failure = {slug: folder(scale, slug) / f"{slug}.failure.json" for slug in stale}
    made = {slug: planning.outputs(scale, slug) for slug in stale}
    begun: dict[str, float] = {}
    shown, printed = None, 0.0
    while True:
        over = engine.poll() is not None
        done, running = [], []
        for slug in stale:
            failed = failure[slug].exists()
            if failed or all(path.exists() for path in made[slug]):
                done.append(slug + (" (failed)" if failed else ""))
            elif (BUILD / "work" / scale / slug).exists():
                running.append(slug)
                begun.setdefault(slug, time.monotonic())
        state = (tuple(done), tuple(running))
        if state != shown or time.monotonic() - printed > 30:
            now = time.monotonic()
            left = {slug: costs[slug] - (now - begun.get(slug, now)) for slug in stale if slug not in state[0]}
            left = {slug: max(value, 2.0) for slug, value in left.items() if f"{slug} (failed)" not in done}
            rest = max(sum(left.values()) / cores, max(left.values(), default=0.0))
            now_running = f"; running: {', '.join(running)}" if running else ""
            tail = f"; about {rest:.0f} s left" if left and not over else ""
            print(f"  {len(done)} of {len(stale)} done{now_running}{tail}", flush=True)
            shown, printed = state, now
        if over:
            return
        time.sleep(0.3)


def summary(records: dict[str, dict]) -> str:
    """Table of verdicts, and every claim with its effect."""
    lines = []
    for slug, record in records.items():
        info = describe(slug)
        outcomes = verdicts(info, record)
        lines.append(f"\n{slug} ({info['fidelity']}, {record['provenance']['seconds']:.0f} s): {tally(info, outcomes)}")
        for claim in info["claims"]:
            outcome = outcomes[claim["id"]]
            lines.append(f"  {claim['id']:<34} {effect_text(claim, outcome):<34} {verdict_text(claim, outcome)}")
    return "\n".join(lines)


def run(scale: str, runs: list[str], seeds, cores: int, profile: str, lock: int) -> bool:
    """Run what is out of date; False, each failure named, where a notebook failed.

    Args:
        runs: papers, or groups of their seeds. seeds: of all runs, or a dict by run. lock: number of the lock's file.
    """
    data.verify()
    for path in sync(list(papers())):
        print(f"  synced {path.relative_to(ROOT)}")
    stale = planning.plan(scale, runs, seeds)
    failures = []
    if stale:
        things = "groups of seeds" if isinstance(seeds, dict) else "papers"
        print(
            f"{len(runs) - len(stale)} of {len(runs)} {things} are up to date at {scale}; running {', '.join(stale)}."
        )
        failures = schedule(scale, stale, cores, profile, lock)
    if failures:
        print("\nThese notebooks failed; the others are done and kept.", file=sys.stderr)
    for failure in failures:
        where = f"cell {failure['cell']}: " if failure["cell"] else ""
        print(f"  {failure['slug']}: {where}{failure['error']}\n    log: {failure['log']}", file=sys.stderr)
    return not failures


def make(names: str = "", scale: str | None = None, seeds=None, cores: int | None = None, site: bool = True,
         profile: str = "local") -> int:  # fmt: skip
    """Run and build. Returns the exit code: 1 where a notebook failed.

    With `seeds` given they run in groups, and at `full` on a cluster one by one; then records are merged, and no site
    is built.
    """
    start = time.monotonic()
    scale, slugs, cores = resolve_scale(scale), select(names), cores or usable()
    check_profile(profile)
    if seeds is not None:
        os.environ.pop("BOOK_SEEDS", None)
    with only_one() as lock:
        apart = seeds is not None or merge.by_seed(scale, profile)
        groups = {slug: merge.run_names(slug, scale, seeds) for slug in slugs} if apart else {}
        by_run = {name: part for names in groups.values() for name, part in names.items()}
        if not run(scale, list(by_run) or slugs, by_run or None, cores, profile, lock):
            if site:
                print("No site was built.", file=sys.stderr)
            return 1
        page = None
        if groups:
            written = {
                slug: merge.write(scale, slug, [read_record(planning.outputs(scale, run)[1]) for run in runs])
                for slug, runs in groups.items()
            }
            print(summary({slug: record for slug, (_, record) in written.items()}))
            for slug, (path, record) in written.items():
                count, jobs = len(record["results"]["seeds"]), len(groups[slug])
                print(f"\n{slug}: {count} seed{'s' * (count > 1)} in {jobs} group{'s' * (jobs > 1)}; what a notebook "
                      f"tunes over its seeds it tuned within each group. Merged record: {path}")  # fmt: skip
            print(f"The site stays as it is.\nDone in {time.monotonic() - start:.1f} s.")
            return 0
        if site:
            from book.tools.site import build

            page = build(scale, slugs)
        print(summary({slug: read_record(planning.outputs(scale, slug)[1]) for slug in slugs}))
    if page:
        print(f"\nOpen {page}")
    print(f"Done in {time.monotonic() - start:.1f} s.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="")
    parser.add_argument("--scale", default="")
    parser.add_argument("--seeds", default="")
    parser.add_argument("--cores", type=int)
    parser.add_argument("--profile", default="local", help="folder of profiles/: local or slurm")
    parser.add_argument("--no-site", action="store_true")
    args = parser.parse_args()
    try:
        if args.seeds:
            os.environ["BOOK_SEEDS"] = args.seeds
        seeds = resolve_seeds(None, 1) if args.seeds else None
        return make(
            args.papers, args.scale or None, seeds, args.cores, site=not args.no_site, profile=args.profile or "local"
        )
    except (BookError, RecordError, data.DataError, OSError, ValueError, TypeError) as error:
        print(f"make book: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
