#!/bin/bash
# `make test-cluster`: the book through a real Slurm, controller and node both on this machine, over loopback.
# Runs two papers at smoke, takes the node down while they run and back again, and compares the results with those
# of the same runs without Slurm. Everything it starts and writes is gone at the end.
set -euo pipefail
python=$(realpath -s "$1") # -s: a virtual environment is found by the path of its link
root=$(cd "$(dirname "$0")/../.." && pwd)
for program in munged slurmctld slurmd sbatch scontrol; do
  PATH=$PATH:/usr/sbin command -v $program > /dev/null || { echo "test-cluster: $program is not there: apt-get install slurm-wlm munge" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "test-cluster: slurmd starts jobs as their owner and needs root; run this in a container." >&2; exit 1; }
export PATH=$PATH:/usr/sbin

work=$(mktemp -d)
export SLURM_CONF=$work/slurm.conf
started=()
stop() {
  scancel --user=root 2> /dev/null || true
  for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2> /dev/null || true; done
  pkill -9 -f "$work/" || true # what ran on the node that went down
  [ "$(readlink /etc/slurm/slurm.conf)" != "$SLURM_CONF" ] || rm /etc/slurm/slurm.conf
  rm -rf "$work"
}
trap stop EXIT

# The plugin in an environment of its own, which sees the book's packages through a .pth file.
"$python" -m venv "$work/venv"
"$python" -c 'import site; print(site.getsitepackages()[0])' > "$("$work/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/book.pth"
wanted=$("$python" -c 'import sys, tomllib; print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["optional-dependencies"]["cluster"], sep="\n")' "$root/pyproject.toml")
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check $wanted

# munge with a key and a socket of its own
head -c 128 /dev/urandom > "$work/munge.key"
chmod 755 "$work" && chmod 400 "$work/munge.key"
mkdir -m 755 "$work/munge" "$work/state" "$work/spool"
munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --log-file="$work/munge/log" --seed-file="$work/munge/seed" > "$work/munged.out" 2>&1 &
started+=($!)

cat > "$SLURM_CONF" << CONF
ClusterName=book
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$work/jobs.txt
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=0
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10)) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
# Jobs do not inherit where the configuration is: they look in the place where a site has it.
[ -e /etc/slurm/slurm.conf ] && { echo "test-cluster: /etc/slurm/slurm.conf exists: this machine has a Slurm already." >&2; exit 1; }
mkdir -p /etc/slurm && ln -s "$SLURM_CONF" /etc/slurm/slurm.conf
slurmctld -D > "$work/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D > "$work/slurmd.out" 2>&1 &
started+=($!)
for _ in $(seq 60); do sinfo -h -o %t 2> /dev/null | grep -q idle && break; sleep 1; done
sinfo -h -o %t | grep -q idle || { tail -n 5 "$work"/*.out >&2; echo "test-cluster: Slurm did not start." >&2; exit 1; }
echo "Slurm is up: $(sinfo -h -o '%n, %c cores, %m MiB')"

cd "$root"
export PYTHONPATH=$root
papers=${PAPERS:-$("$python" -c 'from book.tools.notebooks import papers; from book.tools import plan; print(*sorted(papers(), key=plan.seconds)[:2])')}
BOOK_BUILD=$work/cluster "$work/venv/bin/python" -m book.tools.book --scale smoke --papers "$papers" --profile slurm --no-site > "$work/book.out" 2>&1 &
book=$!
started=("$book" "${started[@]}")
for _ in $(seq 120); do squeue -h -t running | grep -q . && break; sleep 1; done
squeue -h -t running -o 'running: job %i, %C cores, %m memory, limit %l' | tee "$work/seen"
grep -q . "$work/seen" || { cat "$work/book.out" >&2; echo "test-cluster: no job ever ran." >&2; exit 1; }
sleep 3
echo "The node goes down and comes back."
scontrol update nodename="$(hostname)" state=down reason=test
sleep 3
scontrol update nodename="$(hostname)" state=resume
code=0
wait $book || code=$?
cat "$work/book.out"
if [ $code != 0 ]; then
  cat "$work/jobs.txt" "$work/cluster/runs/smoke/snakemake.log" >&2
  find "$work/cluster/engine" "$work/cluster/runs" -name "*.log" -exec tail -n 20 {} + >&2
  tail -n 30 "$work/slurmctld.out" >&2
  echo "test-cluster: make book ended with exit code $code." >&2
  exit 1
fi

BOOK_BUILD=$work/local "$python" -m book.tools.book --scale smoke --papers "$papers" --no-site > /dev/null
"$python" - "$work" << 'PYTHON'
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
records = sorted((work / "local/runs/smoke").glob("*/*.json"))
assert records
for path in records:
    other = json.loads((work / "cluster" / path.relative_to(work / "local")).read_text())
    assert other["results"] == json.loads(path.read_text())["results"], path.stem
    print(f"{path.stem}: the same results through Slurm and without, to the bit")
PYTHON
ended=$(grep -c JobState "$work/jobs.txt" || true)
echo "Slurm ended $ended jobs: $(grep -o 'JobState=[A-Z_]*' "$work/jobs.txt" | sort | uniq -c | tr -s ' \n' ' ')"
