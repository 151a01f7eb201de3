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
REPEATS ?=
TESTS ?= tests notebooks
export PYTHONPATH := $(CURDIR)

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'PAPERS="elr lp_icp"  SCALE=smoke|small|full  SEEDS=20  CORES=2  PROFILE=slurm narrow or widen `make book`.'

$(BIN)/.ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("This book needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": install one and say make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Making $(VENV) from requirements.lock (once, some minutes)."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock 2> $(VENV)/pip.log || { tail -n 5 $(VENV)/pip.log; exit 1; }
	@echo $(CURDIR) > $$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/imperfect_labels.pth
	@touch $@

setup: $(BIN)/.ready ## make .venv from the lock file

book: $(BIN)/.ready ## run what is out of date, build the site into _build/html
	@$(BIN)/python -m book.tools.book --papers "$(PAPERS)" --scale "$(SCALE)" --seeds "$(SEEDS)" --profile "$(PROFILE)" $(if $(CORES),--cores $(CORES))

test: $(BIN)/.ready ## lint, then every test
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . || { echo "ruff has complaints: run make format"; exit 1; }
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --nbmake --nbmake-timeout=300 $(TESTS)

test-cluster: $(BIN)/.ready ## run the book through a Slurm of one node on this machine (needs root, slurm-wlm, munge)
	@$(BIN)/python -m pytest tests/cluster/slurm.py

sync: $(BIN)/.ready ## make the .ipynb files from the .py files
	@$(BIN)/python -m book.tools.sync

notebook: $(BIN)/.ready ## a new paper from the template: PART=noisy_labels SLUG=my_paper
	@$(BIN)/python -m book.tools.new --part "$(PART)" --slug "$(SLUG)"

records: $(BIN)/.ready ## run at small (SCALE=full: the papers named), show what changed, accept the records
	@$(BIN)/python -m book.tools.records --papers "$(PAPERS)" --scale "$(SCALE)" --profile "$(PROFILE)"

pilot: $(BIN)/.ready ## run the papers named on pilot seeds (100 and up): what the planned seeds could detect; WHY="..." of a dropped regime
	@BOOK_BUILD="$(CURDIR)/_build/pilot" $(BIN)/python -m book.tools.pilot --papers "$(PAPERS)" --seeds "$(SEEDS)" --why "$(WHY)" $(if $(CORES),--cores $(CORES))

drift: $(BIN)/.ready ## run at small again, aside, and compare with the accepted records
	@BOOK_BUILD="$(CURDIR)/_build/drift" $(BIN)/python -m book.tools.drift --again --papers "$(PAPERS)" $(if $(CORES),--cores $(CORES))

bench: $(BIN)/.ready ## speed of the machinery, as ratios: WHAT="imports runs noop overhead train site"
	@$(BIN)/python -m book.tools.bench --scale "$(SCALE)" --what "$(WHAT)" $(if $(REPEATS),--repeats $(REPEATS))

serve: book ## look at the site on http://localhost:8000
	@$(BIN)/python -m http.server --directory _build/html --bind 127.0.0.1 8000

format: $(BIN)/.ready ## ruff's formatter and its safe mends
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

lock: ## make requirements.lock anew from pyproject.toml (in a fresh environment)
	@$(PYTHON) data_scripts/lock.py

clean: ## remove what was generated (keeps .venv and downloads)
	@rm -rf _build .pytest_cache .ruff_cache notebooks/.ruff_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help setup book test test-cluster sync notebook pilot records drift bench serve format lock clean
