# Scheduler of the runs: which are out of date, how many at once, longest first, resources, retries, logs, resume.
# What is out of date was decided by content before (book/tools/plan.py) and stands in the key files.
# `make book` calls it; a cluster runs the same file with an executor profile.
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from book.tools import plan
from book.tools.notebooks import select, source
from book.tools.run_one import orphaned

if orphaned():  # a job that waited in the queue of a cluster longer than its `make book` lived must not touch a file
    sys.exit("Nobody waits for this run any more.")

SCALE = config.get("scale", "small")
RUNS = str(config.get("papers", "")).replace(",", " ").split() or select("")  # a paper, or paper and seeds: elr+0-4
LIMIT = {"smoke": 300, "small": 900, "full": 6 * 3600}[SCALE]  # seconds of wall clock
MEMORY = {"smoke": 3000, "small": 4000, "full": 64000}[SCALE]  # MiB
SPARE = {"seconds": 120, "mib": 1000}  # beyond these a cluster ends a job: later than the run itself, which says why


rule all:
    input:
        [str(path) for run in RUNS for path in plan.outputs(SCALE, run)],


for run in RUNS:
    notebook, record = map(str, plan.outputs(SCALE, run))

    rule:
        name:
            f"run_{run.replace('+', '_').replace('-', '_')}"
        input:
            key=str(plan.key_path(SCALE, run)),
            notebook=ancient(str(source(plan.slug_of(run)).with_suffix(".ipynb"))),
        output:
            notebook,
            record,
        log:
            notebook.replace(".ipynb", ".schedule.log"),
        benchmark:
            notebook.replace(".ipynb", ".benchmark.tsv")
        threads: 1
        priority: int(plan.seconds(run))
        resources:
            mem_mb=MEMORY + SPARE["mib"],
            runtime=f"{LIMIT + SPARE['seconds']}s",
            gpu=1 if SCALE == "full" else 0,
        params:
            run=run,
            python=sys.executable,
            root=str(ROOT),
        shell:
            "cd {params.root:q} && {params.python:q} -m book.tools.run_one {params.run:q} "
            "--scale {SCALE} --timeout {LIMIT} --memory {MEMORY} > {log:q} 2>&1"
