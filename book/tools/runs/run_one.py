"""Run one notebook through papermill, within a time and a memory limit; called by Snakemake, one process each.

What a run leaves appears whole or not at all: notebook and record are made in a folder aside and moved into
place once the record's hash equals the key.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from book.tools import BUILD, ROOT
from book.tools.papers.notebooks import source

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
NEVER_STARTED = "Kernel died before replying to kernel_info"  # as jupyter_client says it
STARTS = 3  # of a kernel that dies before it has run anything
LOOK = 0.5  # seconds between two looks at memory and clock
TURN = BUILD / "turn"  # names the `make book` that was begun last
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}


def execute(slug: str, work: Path) -> int:
    """The inner process: papermill, with the failing cell in `error.json` where there is one."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    py = source(slug)
    try:
        for left in range(STARTS - 1, -1, -1):
            try:
                papermill.execute_notebook(
                    py.with_suffix(".ipynb"),
                    work / f"{slug}.ipynb",
                    cwd=work,
                    kernel_name="python3",
                    progress_bar=False,
                    log_output=True,
                    stdout_file=sys.stdout,
                    stderr_file=sys.stdout,
                    start_timeout=120,
                )
                break
            except RuntimeError as error:
                # Jupyter picks a kernel's ports before it starts; another program may take one of them in between.
                if not left or NEVER_STARTED not in str(error):
                    raise
    except PapermillExecutionError as error:
        return _tell(work, f"{error.ename}: {error.evalue}", "\n".join(error.traceback), error.cell_index + 1)
    except DeadKernelError:
        return _tell(work, "its kernel died: something killed it, or the machine ran out of memory")
    except (OSError, RuntimeError) as error:  # a full disk, a kernel that did not start
        return _tell(work, f"{type(error).__name__}: {error}", traceback.format_exc())
    blank = without_figures(work / f"{slug}.ipynb")
    if blank:
        return _tell(work, "the cell drew no picture (its plt.show() left none)", cell=blank)
    return 0


def without_figures(path: Path) -> int | None:
    """Number of the first cell of an executed notebook that should have drawn and did not."""
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], 1):
        draws = cell["cell_type"] == "code" and "plt.show(" in "".join(cell["source"])
        if draws and not any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            return number
    return None


def caches(env) -> tuple[Path, Path]:
    """Folders of a user's settings and caches, as programs find them."""
    home = Path(env.get("HOME") or Path.home())
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config"), Path(env.get("XDG_CACHE_HOME") or home / ".cache")


def writable(folder: Path) -> bool:
    """Whether a folder can be written, or made where it is not there yet."""
    try:
        there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        return there.is_dir() and os.access(there, os.W_OK)
    except OSError:  # not even looked at
        return False


def clean(env: dict[str, str], work: Path) -> dict[str, str]:
    """The environment of a run: backend, formats, rc files, kernel and interpreter are the book's, not the user's.

    Args:
        env: the user's. work: the run's folder; settings that programs look for lie in it.
    """
    kernel = work / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    (work / "matplotlibrc").write_text("", encoding="utf-8")
    # A cache that cannot be written is a complaint on the page; a good one spares each run the search for fonts.
    own = [env["MPLCONFIGDIR"]] if env.get("MPLCONFIGDIR") else [place / "matplotlib" for place in caches(env)]
    fonts = {} if all(writable(Path(place)) for place in own) else {"MPLCONFIGDIR": str(BUILD / "cache" / "matplotlib")}
    dropped = ("MPLBACKEND", "PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONHOME", "PYTHONWARNINGS")
    return (
        {name: value for name, value in env.items() if name not in dropped}
        | fonts
        | {
            "MATPLOTLIBRC": str(work / "matplotlibrc"),
            "IPYTHONDIR": str(work / "ipython"),
            "JUPYTER_PATH": str(work / "jupyter"),
            "JUPYTER_CONFIG_DIR": str(work / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(work / "jupyter" / "runtime"),
            "PYTHONNOUSERSITE": "1",
            "PYTHONHASHSEED": "0",
        }
    )


def _tell(work: Path, error: str, detail: str = "", cell: int | None = None) -> int:
    """Leave the reason for the outer process, the detail for the log; exit code 1."""
    print(ANSI.sub("", detail or error))
    problem = {"cell": cell, "error": " ".join(ANSI.sub("", error).split())[:500]}
    with contextlib.suppress(OSError):  # on a full disk the log has it
        (work / "error.json").write_text(json.dumps(problem), encoding="utf-8")
    return 1


def orphaned() -> bool:
    """Whether nobody waits for this run any more: the `make book` that asked for it was killed, or another has begun.

    On the machine of that `make book` its process tells; from a node of a cluster only the file of turns can be seen.
    """
    import psutil

    driver, turn = os.environ.get("BOOK_DRIVER"), os.environ.get("BOOK_TURN")
    if driver and not psutil.pid_exists(int(driver)):
        return True
    try:
        return bool(turn) and TURN.read_text(encoding="utf-8") != turn
    except OSError:  # the build folder was removed
        return True


def supervise(command: list[str], env: dict, log: Path, timeout: float, memory_mib: float) -> str | None:
    """Run a command in a session of its own; None when it ended well, else one sentence that says why not."""
    import psutil

    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        # Snakemake's way to stop a job: take the whole session along, or kernels would go on alone.
        signal.signal(signal.SIGTERM, lambda *_: (kill(child), sys.exit(143)))
        start, problem = time.monotonic(), None
        while problem is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(LOOK)
                break
            if orphaned():
                problem = "nobody waits for it any more"
                break
            used = 0
            try:
                for process in [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]:
                    used += process.memory_info().rss
            except psutil.Error:
                continue  # it has just ended
            if used > memory_mib * 2**20:
                problem = f"it used {used / 2**20:.0f} MiB of memory, more than its limit of {memory_mib:.0f} MiB"
            elif time.monotonic() - start > timeout:
                problem = f"it ran longer than its limit of {timeout:.0f} s"
        if problem:
            kill(child)
        child.wait()
    return problem or (None if child.returncode == 0 else f"it ended with exit code {child.returncode}")


def kill(child: subprocess.Popen) -> None:
    """Kill a process and all that it started; kernels are in sessions of their own."""
    import psutil

    with contextlib.suppress(psutil.Error):
        family = [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()


def run(name: str, scale: str, timeout: float, memory_mib: float) -> int:
    from book.tools.runs.plan import Run

    asked = Run.planned(name, scale)
    if asked is None:
        print(f"{name}: no run of that name was planned at {scale}; make book plans and runs", file=sys.stderr)
        return 1
    wanted, work = json.loads(asked.key_path.read_text(encoding="utf-8")), asked.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    asked.folder.mkdir(parents=True, exist_ok=True)
    env = {
        **clean(dict(os.environ), work),
        **({} if scale == "full" else ONE_THREAD),
        "BOOK_SCALE": scale,
        "BOOK_SEEDS": ",".join(map(str, wanted["seeds"])) + ("," if len(wanted["seeds"]) == 1 else ""),
        "BOOK_OUT": str(work),
        "BOOK_RESULT_HASH": wanted["result_hash"],
        "BOOK_PAGE_HASH": wanted["page_hash"],
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    log = asked.log
    command = [sys.executable, "-m", "book.tools.runs.run_one", asked.slug, "--inside", str(work)]
    problem = supervise(command, env, log, timeout, memory_mib)
    if orphaned():  # the next `make book` must find nobody here, and no word of it
        print(f"{name}: nobody waits for it any more", file=sys.stderr)
        return 1
    asked.failure.unlink(missing_ok=True)
    if problem is None and not (work / f"{asked.slug}.json").exists():
        problem = "it ended without writing a record: the last code cell must call paper.report()"
    if problem is None:
        os.replace(work / f"{asked.slug}.ipynb", asked.notebook)
        os.replace(work / f"{asked.slug}.json", asked.record)
        shutil.rmtree(work, ignore_errors=True)
        if asked.is_fresh():
            return 0
        problem = "its source was edited while it ran"
    detail = {"cell": None, "error": problem}
    if (work / "error.json").exists():
        with contextlib.suppress(ValueError):  # cut off by a full disk
            detail = json.loads((work / "error.json").read_text(encoding="utf-8"))
    asked.failure.write_text(json.dumps({"slug": name, "log": str(log), **detail}), encoding="utf-8")
    print(f"{name}: {detail['error']} (log: {log})", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slug")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of wall clock")
    parser.add_argument("--memory", type=float, default=4096.0, help="MiB over all its processes")
    parser.add_argument("--inside", type=Path)
    args = parser.parse_args()
    if args.inside:
        return execute(args.slug, args.inside)
    return run(args.slug, args.scale, args.timeout, args.memory)


if __name__ == "__main__":
    sys.exit(main())
