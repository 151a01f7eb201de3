"""The book through a real Slurm, controller and node both on this machine, over loopback: `make test-cluster`.

It needs root, since slurmd starts jobs as their owner, and Debian's slurm-wlm and munge. Everything that it starts and
writes is gone at the end. Not among the tests of `make test`: pytest takes this file only where it is named.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from book.tools import ROOT
from book.tools.papers.notebooks import papers
from book.tools.runs.plan import Run
from tests import test_faults
from tests.conftest import python
from tests.test_book import BOOK, RUNS, book, ran
from tests.test_faults import NO_RESULT, wait_for
from tests.test_keys import TOY, edit

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
SITE_CONF = Path("/etc/slurm/slurm.conf")  # jobs do not inherit where the configuration is: they look here
CONF = """
ClusterName=book
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={work}/munge/socket
CredType=cred/munge
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={work}/jobs.txt
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=0
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=140000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""  # memory and GPUs are claimed, not there: what is asked for is what is tested


def say(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A Slurm of one node, and a Python with the executor's plugin beside the book's packages."""
    os.environ["PATH"] += ":/usr/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        pytest.exit(f"test-cluster: {absent[0]} is not there: apt-get install slurm-wlm munge", 1)
    if os.getuid():
        pytest.exit("test-cluster: slurmd starts jobs as their owner and needs root; run this in a container.", 1)
    if SITE_CONF.exists():
        pytest.exit(f"test-cluster: {SITE_CONF} exists: this machine has a Slurm already.", 1)
    work = tmp_path_factory.mktemp("slurm")
    for folder in (work, *work.parents[:2]):
        folder.chmod(0o755)

    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    own = work / "venv" / "bin" / "python"
    packages = ["-c", "import site; print(site.getsitepackages()[0])"]
    (Path(say(str(own), *packages).strip()) / "book.pth").write_text(say(sys.executable, *packages))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cluster"]
    subprocess.run([own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True)

    host = socket.gethostname()
    (work / "slurm.conf").write_text(CONF.format(work=work, host=host, cores=os.cpu_count()))
    (work / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")  # GPUs are files to Slurm
    (work / "munge.key").write_bytes(os.urandom(128))
    (work / "munge.key").chmod(0o400)
    for name in ("munge", "state", "spool"):
        (work / name).mkdir(mode=0o755)
    os.environ["SLURM_CONF"] = str(work / "slurm.conf")
    SITE_CONF.parent.mkdir(exist_ok=True)
    SITE_CONF.symlink_to(work / "slurm.conf")
    munge = [f"--{name}={work}/munge{rest}" for name, rest in
             (("key-file", ".key"), ("socket", "/socket"), ("pid-file", "/pid"), ("log-file", "/log"), ("seed-file", "/seed"))]  # fmt: skip
    started = []

    def daemon(*command) -> subprocess.Popen:
        with (work / f"{command[0]}.out").open("a") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    try:
        daemon("munged", "--foreground", "--force", *munge)
        wait_for((work / "munge" / "socket").exists, 20)
        daemon("slurmctld", "-D")
        slurmd = daemon("slurmd", "-D")
        wait_for(
            lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout, 60
        )
        yield SimpleNamespace(
            python=str(own), host=host, ended=work / "jobs.txt", slurmd=slurmd, back=lambda: daemon("slurmd", "-D")
        )
    finally:
        subprocess.run(["scancel", "--user=root"], stderr=subprocess.DEVNULL)
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(30)
        SITE_CONF.unlink()
        kill_steps()


def kill_steps() -> None:
    """End what jobs run on the node, and all that they started: Slurm's own process first, so that it reports nothing."""
    for step in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if step.name().startswith("slurmstepd"):
                for process in [step, *step.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        process.kill()


def node(cluster, state: str) -> None:
    reason = ["reason=test"] if state in ("down", "drain") else []
    say("scontrol", "update", f"nodename={cluster.host}", f"state={state}", *reason)


def jobs() -> list[dict]:
    """What Slurm knows of its jobs: those at work, waiting, and ended in the last five minutes."""
    lines = say("scontrol", "show", "jobs", "-o").splitlines()
    return [dict(re.findall(r"(\w+(?:/\w+)?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]


def in_state(*states: str, since: int = 0) -> list[dict]:
    return [job for job in jobs() if job["JobState"] in states and int(job["JobId"]) > since]


def last() -> int:
    return max((int(job["JobId"]) for job in jobs()), default=0)


def start(cluster, tree, *words, build=None):
    """A `make book` on the cluster, in the background."""
    env = {"BOOK_BUILD": str(build)} if build else {}
    return test_faults.start(tree, "--profile", "slurm", *words, env=env, executable=cluster.python)


def end(running, tree, code=0):
    """Output of a `make book`, once it has ended."""
    out, err = running.communicate(timeout=400)
    logs = "".join(p.read_text()[-2000:] for p in (tree / "_build" / "runs").glob("*/snakemake.log"))
    assert running.returncode == code, out + err + logs
    assert "Traceback" not in err
    return out + err


def at_once() -> None:
    """Slurm lets jobs of a lost node wait for two minutes, which is no matter of ours."""
    for job in in_state("PENDING"):
        say("scontrol", "update", f"jobid={job['JobId']}", "starttime=now")


def test_papers_are_jobs_and_a_lost_node_costs_nothing_but_time(cluster, tmp_path):
    chosen = sorted(papers(), key=lambda slug: Run.of(slug, "small").seconds())[:2]
    running = start(cluster, ROOT, "--papers", " ".join(chosen), build=tmp_path / "cluster")
    seen = wait_for(lambda: len(found := in_state("RUNNING")) == 2 and found)
    for job in seen:  # what the Snakefile asks for at smoke
        assert (job["NumCPUs"], job["MinMemoryNode"], job["TimeLimit"]) == ("1", "4000M", "00:07:00")
        assert "TresPerJob" not in job, "no GPU at smoke"
    time.sleep(3)
    cluster.slurmd.kill()  # the node is lost with all that ran on it
    kill_steps()
    node(cluster, "down")  # Slurm would see it after five minutes
    wait_for(lambda: not in_state("RUNNING", "COMPLETING"))
    cluster.back()
    node(cluster, "resume")
    at_once()
    end(running, ROOT)
    assert cluster.ended.read_text().count("JobState=NODE_FAIL") == 2
    assert len(in_state("COMPLETED")) == 2

    env = {"BOOK_BUILD": str(tmp_path / "local")}
    python(ROOT, *BOOK, "--papers", " ".join(chosen), "--no-site", env=env, check=True)
    for slug in chosen:
        one, other = (json.loads(next((tmp_path / b).glob(f"runs/smoke/*/{slug}.json")).read_text()) for b in ("cluster", "local"))  # fmt: skip
        assert one["results"] == other["results"], f"{slug}: not the same to the bit"


def test_at_full_every_seed_is_a_job_with_a_gpu_and_their_record_is_accepted(cluster, checkout):
    before = last()
    words = ["-m", "book.tools.upkeep.records", "--scale", "full", "--papers", "toy", "--profile", "slurm"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")} | {"PYTHONPATH": str(checkout)}
    done = subprocess.run([cluster.python, *words], cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "toy: first record" in done.stdout and "5 seeds in 5 groups" in done.stdout
    mine = in_state("COMPLETED", since=before)
    assert len(mine) == 5
    for job in mine:
        assert job["TresPerJob"].split(":", 1)[1] in ("gpu:1", "gpu=1"), job["TresPerJob"]
        assert (job["MinMemoryNode"], job["TimeLimit"]) == ("65000M", "06:02:00")
    accepted = json.loads((checkout / "results/full/toy.json").read_text())
    assert accepted["results"]["seeds"] == [0, 1, 2, 3, 4] and len(accepted["provenance"]["groups"]) == 5

    # the same as one run of all seeds on this machine
    book(checkout, "--scale", "full", "--papers", "toy", "--no-site")
    whole = json.loads((checkout / "_build/runs/full/noisy_labels/toy.json").read_text())
    assert len(whole["results"]["arms"]) == len(accepted["results"]["arms"]) == 2
    for one, other in zip(whole["results"]["arms"], accepted["results"]["arms"]):
        assert (one["arm"], one["metric"]) == (other["arm"], other["metric"])
        assert other["values"] == pytest.approx(one["values"]), one["arm"]


def test_a_killed_book_leaves_jobs_that_touch_nothing_once_the_next_one_has_begun(cluster, checkout):
    before = last()
    edit(checkout / TOY, "accuracy = {", NO_RESULT)
    node(cluster, "drain")
    running = start(cluster, checkout)
    wait_for(lambda: len(in_state("PENDING", since=before)) == 2)
    for job in in_state("PENDING", since=before):  # one job begins and sleeps, one waits in the queue
        when = "now" if job["Comment"].endswith("run_toy") else "now+1hour"
        say("scontrol", "update", f"jobid={job['JobId']}", f"starttime={when}")
    # The plugin removes empty folders of logs, without which Slurm starts no job: an older log keeps them.
    for folder in (checkout / "_build/engine/.snakemake/slurm_logs").iterdir():
        (folder / "older.log").touch()
    node(cluster, "resume")
    wait_for((checkout / "_build/work/smoke/toy").exists)
    for process in [*psutil.Process(running.pid).children(recursive=True), running]:
        process.kill()
    running.communicate()
    orphans = {job["JobId"]: job["JobState"] for job in jobs() if int(job["JobId"]) > before}
    assert sorted(orphans.values()) == ["PENDING", "RUNNING"], "Slurm knows nothing of the kill"

    edit(checkout / TOY, NO_RESULT, "accuracy = {")
    said = end(start(cluster, checkout), checkout)
    assert ran(SimpleNamespace(stdout=said)) == {"toy", "toy_two"}
    results = {
        path: path.read_text() for path in (checkout / RUNS).glob("*/toy*.*") if path.suffix in (".json", ".ipynb")
    }
    assert len(results) == 4
    at_once()
    wait_for(lambda: not in_state("PENDING", "RUNNING", "COMPLETING"))
    states = {job["JobId"]: job["JobState"] for job in jobs() if int(job["JobId"]) > before}
    assert {states[job] for job in orphans} == {"FAILED"}
    assert [states[job] for job in states if job not in orphans] == ["COMPLETED", "COMPLETED"]
    assert {path: path.read_text() for path in results} == results
    assert ran(book(checkout, "--no-site")) == set()


def test_a_job_that_the_cluster_refuses_is_told_in_its_words(cluster, checkout):
    profile = checkout / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text() + "default-resources: [slurm_partition=nowhere]\n")
    said = end(start(cluster, checkout, "--papers", "toy"), checkout, code=1)
    assert "toy: it never ran; the scheduler: " in said and "invalid partition specified: nowhere" in said


def test_a_notebook_that_raises_is_named_and_ctrl_c_takes_the_jobs_back(cluster, checkout):
    edit(checkout / TOY, "accuracy = {", "raise RuntimeError('on purpose')\naccuracy = {")
    said = end(start(cluster, checkout), checkout, code=1)
    assert re.search(r"toy: cell \d+: RuntimeError: on purpose", said) and "toy_two:" not in said
    finished = checkout / RUNS / "trust/toy_two.json"
    text = finished.read_text()

    edit(checkout / TOY, "raise RuntimeError('on purpose')", NO_RESULT.split("\n")[0] + "\ntime.sleep(120)")
    running = start(cluster, checkout)
    wait_for(lambda: in_state("RUNNING"))
    running.send_signal(signal.SIGINT)
    assert "make book: Interrupted: what was finished is kept" in end(running, checkout, code=1)
    wait_for(lambda: not in_state("PENDING", "RUNNING", "COMPLETING"), 30)
    assert finished.read_text() == text and not (checkout / RUNS / "noisy_labels/toy.json").exists()
