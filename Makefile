# Two commands: `make book` and `make test`. Each makes its environment first, from the lock file.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAPERS ?=
SCALE ?=
SEEDS ?=
CORES ?=
PROFILE ?=
WHAT ?=
WHY ?=
NOTEBOOK ?=
REPEATS ?=
HOURS ?=
TESTS ?= tests
export PYTHONPATH := .

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'PAPERS="elr lp_icp"  SCALE=smoke|small|full  SEEDS=20  CORES=2  PROFILE=slurm narrow or widen `make book`.'

# Asked each time, not remembered: an environment can be moved, emptied or left half made.
ready:
	@$(BIN)/python -S -c '' 2> /dev/null && $(BIN)/python data_scripts/environment.py 2> /dev/null || $(MAKE) --no-print-directory environment

environment:
	@$(PYTHON) -c 'import sys; sys.exit("This book needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": install one and say make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import os, sys; sys.exit("Python cannot work in a folder with a colon in its name: rename " + os.getcwd() if ":" in os.getcwd() else 0)'
	@[ ! -x $(BIN)/python ] || $(BIN)/python data_scripts/environment.py || true
	@echo "Making $(VENV) from requirements.lock (once, some minutes)."
	@$(PYTHON) -m venv --clear $(VENV)
	@env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock 2> $(VENV)/pip.log || { tail -n 5 $(VENV)/pip.log; exit 1; }
	@pwd > "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/imperfect_labels.pth"
	@$(BIN)/python data_scripts/environment.py

setup: ready ## make .venv from the lock file

book: ready ## run what is out of date, build the site into _build/html
	@$(BIN)/python -m book.tools.book --papers "$(PAPERS)" --scale "$(SCALE)" --seeds "$(SEEDS)" --profile "$(PROFILE)" $(if $(CORES),--cores $(CORES))

test: ready ## lint, then every test; PAPERS="x y": all that concerns those papers
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . || { echo "ruff has complaints: run make format"; exit 1; }
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(if $(PAPERS),--papers "$(PAPERS)") $(TESTS)

test-cluster: ready ## run the book through a Slurm of one node on this machine (needs root, slurm-wlm, munge)
	@$(BIN)/python -m pytest tests/cluster/slurm.py

sync: ready ## make the .ipynb files from the .py files
	@$(BIN)/python -m book.tools.papers.sync

pull: ready ## bring edits of an .ipynb back into its .py: NOTEBOOK=elr, or the path of a download of that name
	@$(BIN)/python -m book.tools.papers.pull "$(NOTEBOOK)"

notebook: ready ## a new paper from the template: PART=noisy_labels SLUG=my_paper
	@$(BIN)/python -m book.tools.papers.new --part "$(PART)" --slug "$(SLUG)"

records: ready ## run at small, show what changed, accept the records; SCALE=full: the papers named, or the queue (HOURS=1 runs it)
	@$(BIN)/python -m book.tools.upkeep.records --papers "$(PAPERS)" --scale "$(SCALE)" --profile "$(PROFILE)" --hours "$(HOURS)"

pilot: ready ## run the papers named on pilot seeds (100 and up): what the planned seeds could detect; WHY="..." of a dropped regime
	@BOOK_BUILD="$$PWD/_build/pilot" $(BIN)/python -m book.tools.upkeep.pilot --papers "$(PAPERS)" --seeds "$(SEEDS)" --why "$(WHY)" $(if $(CORES),--cores $(CORES))

drift: ready ## run at small again, aside, and compare with the accepted records
	@BOOK_BUILD="$$PWD/_build/drift" $(BIN)/python -m book.tools.upkeep.drift --again --papers "$(PAPERS)" $(if $(CORES),--cores $(CORES))

bench: ready ## speed of the machinery, as ratios: WHAT="imports runs noop overhead train site"
	@$(BIN)/python -m book.tools.upkeep.bench --scale "$(SCALE)" --what "$(WHAT)" $(if $(REPEATS),--repeats $(REPEATS))

serve: book ## look at the site on http://localhost:8000
	@$(BIN)/python -m http.server --directory _build/html --bind 127.0.0.1 8000

format: ready ## ruff's formatter and its safe mends
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

lock: ## make requirements.lock anew from pyproject.toml (in a fresh environment)
	@$(PYTHON) data_scripts/lock.py

clean: ## remove what was generated (keeps .venv and downloads)
	@rm -rf _build .pytest_cache .ruff_cache notebooks/.ruff_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help ready environment setup book test test-cluster sync pull notebook pilot records drift bench serve format lock clean
