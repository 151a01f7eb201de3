# Scheduler of the runs: which are out of date, how many at once, longest first, resources, retries, logs, resume.
# What is out of date was decided by content before (book/tools/runs/plan.py) and stands in the key files.
# `make book` calls it; a cluster runs the same file with an executor profile.
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from book.tools.papers.notebooks import select, source
from book.tools.runs.plan import Run
from book.tools.runs.run_one import orphaned

if orphaned():  # a job that waited in the queue of a cluster longer than its `make book` lived must not touch a file
    sys.exit("Nobody waits for this run any more.")

SCALE = config.get("scale", "small")
NAMES = str(config.get("runs", "")).replace(",", " ").split() or select("")  # of runs that were planned
RUNS = [Run.planned(name, SCALE) for name in NAMES]
if None in RUNS:
    waiting = ", ".join(name for name, run in zip(NAMES, RUNS) if run is None)
    sys.exit(f"Nothing is planned at {SCALE} for {waiting}: `make book SCALE={SCALE}` plans the runs and calls Snakemake.")
LIMIT = {"smoke": 300, "small": 900, "full": 6 * 3600}[SCALE]  # seconds of wall clock
MEMORY = {"smoke": 3000, "small": 4000, "full": 64000}[SCALE]  # MiB
SPARE = {"seconds": 120, "mib": 1000}  # beyond these a cluster ends a job: later than the run itself, which says why


rule all:
    input:
        [str(path) for run in RUNS for path in (run.notebook, run.record)],


for run in RUNS:

    rule:
        name:
            f"run_{run.name.replace('+', '_').replace('-', '_')}"
        input:
            key=str(run.key_path),
            notebook=ancient(str(source(run.slug).with_suffix(".ipynb"))),
        output:
            str(run.notebook),
            str(run.record),
        log:
            str(run.log.with_suffix(".schedule.log")),
        benchmark:
            str(run.log.with_suffix(".benchmark.tsv"))
        threads: 1
        priority: int(run.seconds())
        resources:
            mem_mb=MEMORY + SPARE["mib"],
            runtime=f"{LIMIT + SPARE['seconds']}s",
            gpu=1 if SCALE == "full" else 0,
        params:
            run=run.name,
            python=sys.executable,
            root=str(ROOT),
        shell:
            "cd {params.root:q} && {params.python:q} -m book.tools.runs.run_one {params.run:q} "
            "--scale {SCALE} --timeout {LIMIT} --memory {MEMORY} > {log:q} 2>&1"
