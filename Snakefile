# Scheduler of the runs: which are out of date, how many at once, longest first, resources, retries, logs, resume.
# What is out of date was decided by content before (book/tools/plan.py) and stands in the key files.
# `make book` calls it; a cluster runs the same file with an executor profile.
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from book.tools import plan
from book.tools.notebooks import select, source

SCALE = config.get("scale", "small")
SLUGS = select(config.get("papers", ""))
LIMIT = {"smoke": 300, "small": 900, "full": 6 * 3600}[SCALE]  # seconds of wall clock
MEMORY = {"smoke": 3000, "small": 4000, "full": 64000}[SCALE]  # MiB


rule all:
    input:
        [str(path) for slug in SLUGS for path in plan.outputs(SCALE, slug)],


for slug in SLUGS:
    notebook, record = map(str, plan.outputs(SCALE, slug))

    rule:
        name:
            f"run_{slug}"
        input:
            key=str(plan.key_path(SCALE, slug)),
            notebook=ancient(str(source(slug).with_suffix(".ipynb"))),
        output:
            notebook,
            record,
        log:
            notebook.replace(".ipynb", ".schedule.log"),
        benchmark:
            notebook.replace(".ipynb", ".benchmark.tsv")
        threads: 1
        priority: int(plan.seconds(slug))
        resources:
            mem_mb=MEMORY,
            runtime=f"{LIMIT}s",
            gpu=1 if SCALE == "full" else 0,
        params:
            slug=slug,
            python=sys.executable,
            root=str(ROOT),
        shell:
            "cd {params.root:q} && {params.python:q} -m book.tools.run_one {params.slug} "
            "--scale {SCALE} --timeout {LIMIT} --memory {MEMORY} > {log:q} 2>&1"
