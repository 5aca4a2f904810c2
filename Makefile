# `make run` and `make test` set up what they need: Python >= 3.11, make and git are enough.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
endif

.PHONY: run gateway test lint types contracts tests crash-points random-operations interop-environments requirements benchmarks coverage clean

run: .venv/.ready-to-run  ## start the supervised process with the sample orchestrator
	@$(BIN)/python -m supervision run $(ARGS)

gateway: .venv/.ready-to-run  ## start the simulated gateway alone, on port 4002
	@$(BIN)/python -m supervision.simulator --port 4002 --state .ibkr-actors/simulator.jsonl $(ARGS)

test: lint types contracts tests  ## everything that has to hold

lint: .venv/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet .

types: .venv/.ready-to-test
	$(BIN)/mypy

contracts: .venv/.ready-to-test
	$(BIN)/lint-imports

tests: .venv/.ready-to-test interop-environments
	$(BIN)/python -m pytest -q $(ARGS)

crash-points: .venv/.ready-to-test  ## kill -9 at every journal write and every message; says how many
	$(BIN)/python -m tests.crash_points $(ARGS)

random-operations: .venv/.ready-to-test  ## 100,000 random operations on orders while everything fails
	$(BIN)/python -m tests.random_operations $(ARGS)

requirements: .venv/.ready-to-test interop-environments  ## which requirement has a passing test, and which has none
	$(BIN)/python -m pytest -q --requirements $(ARGS)

benchmarks: .venv/.ready-to-test  ## ratios to floors that are measured in the same run
	$(BIN)/python -m tests.benchmarks $(ARGS)

coverage: .venv/.ready-to-test interop-environments
	$(BIN)/python -m pytest -q --cov=actors --cov=supervision --cov-report=term-missing:skip-covered $(ARGS)

# Each in an environment of its own: ib_async and ib_insync overwrite each other's event library.
interop-environments: .venv-ib_async/.ready .venv-ibapi/.ready

.venv/.ready-to-run: requirements.lock
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "installing what requirements.lock names ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/.ready-to-test: tests/requirements.lock pyproject.toml
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "installing what tests/requirements.lock names ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/.ready-to-run $@

.venv-%/.ready: tests/interop/%.lock
	@test -d .venv-$* || $(PYTHON) -m venv .venv-$*
	@echo "installing what $< names ..."
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf .venv .venv-* .ibkr-actors .mypy_cache .ruff_cache .pytest_cache .hypothesis
