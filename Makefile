# `make run` and `make test` set up what they need: Python >= 3.11, make and git are enough.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
endif

.PHONY: run gateway test lint audit types contracts tests crash-points random-operations interop-environments requirements trouble flattening kills fuzz pythons performance benchmarks mutation coverage clean

run: .venv/.ready-to-run  ## start the supervised process with the sample orchestrator
	@$(BIN)/python -m supervision run $(ARGS)

gateway: .venv/.ready-to-run  ## start the simulated gateway alone, on port 4002
	@$(BIN)/python -m supervision.simulator --port 4002 --state .ibkr-actors/simulator.jsonl $(ARGS)

test: lint types contracts tests  ## everything that has to hold

lint: .venv/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive actors supervision
	$(BIN)/interrogate --quiet actors supervision

audit: .venv/.ready-to-test  ## known vulnerabilities of what is locked; ARGS=--strict fails where nobody can be asked
	$(BIN)/python -m tests.dependency_audit $(ARGS)

types: .venv/.ready-to-test
	$(BIN)/mypy

contracts: .venv/.ready-to-test
	$(BIN)/lint-imports

tests: .venv/.ready-to-test interop-environments
	$(BIN)/python -m pytest -q --numprocesses 3 --dist loadscope --no-loadscope-reorder $(ARGS)

pythons: .venv/.ready-to-test interop-environments  ## the tests on every Python from 3.11 on that is found here; ARGS="3.12 3.13"
	$(BIN)/python -m tests.pythons $(ARGS)

crash-points: .venv/.ready-to-test  ## kill -9 at every journal write and every message; says how many
	$(BIN)/python -m tests.crash_points $(ARGS)

random-operations: .venv/.ready-to-test  ## 100,000 random operations on orders while everything fails
	$(BIN)/python -m tests.random_operations $(ARGS)

requirements: .venv/.ready-to-test interop-environments  ## which requirement has a passing test, and which has none
	$(BIN)/python -m pytest -q --requirements $(ARGS)

trouble: .venv/.ready-to-test  ## a hundred days in which everything happens to the link, in virtual time
	$(BIN)/python -m tests.faults $(ARGS)

flattening: .venv/.ready-to-test  ## ten thousand brokers that refuse, are silent, slow, drop orders, halt; all end flat
	$(BIN)/python -m tests.flattening $(ARGS)

fuzz: .venv/.ready-to-test  ## a million odd arguments of calls and fields of the broker's messages; ARGS="broker --examples 10000"
	$(BIN)/python -m tests.fuzz $(ARGS)

kills: .venv/.ready-to-test  ## random kills of process, gateway, both or link: 2,000 in virtual time, 40 of real processes
	$(BIN)/python -m tests.kills $(ARGS)

performance: .venv/.ready-to-test  ## five hundred connections: p50, p95, p99, and how many a minute
	$(BIN)/python -m pytest -q -s tests/performance --connections 500 $(ARGS)

benchmarks: .venv/.ready-to-test  ## ratios to floors that are measured in the same run
	$(BIN)/python -m tests.benchmarks $(ARGS)

mutation: .venv/.ready-to-test  ## how many mutants the tests kill; ARGS="--sample 40 --seed 1", or ARGS=actors/risk/rules.py
	$(BIN)/python -m tests.mutation $(ARGS)

paper-gateway: .venv/.ready-to-test  ## one share at a real paper gateway: IBKR_PAPER_GATEWAY=HOST:PORT make paper-gateway
	$(BIN)/python -m pytest -q tests/paper_gateway $(ARGS)

# What needs no whole process counts as unit, what runs one as integration; each has a floor of its own (QUA-1).
UNIT := tests/unit tests/property tests/link tests/simulator tests/kernel tests/supervision tests/supervision_loop \
	tests/alpha_learnings tests/security tests/deploy
# An exception that is set into another thread, and a tracer: together they hang CPython 3.11.
UNTRACED := --deselect tests/kernel/test_hung_actors.py::test_thread_that_dies_beneath_its_actor_is_noticed
INTEGRATION := tests/walk tests/faults tests/integration tests/bdd

coverage: .venv/.ready-to-test  ## lines covered by unit tests (85 % at least) and by integration tests (75 %)
	$(BIN)/python -m pytest -q --cov --cov-report=term:skip-covered --cov-fail-under=85 $(UNIT) $(UNTRACED) $(ARGS)
	$(BIN)/python -m pytest -q --cov --cov-report=term:skip-covered --cov-fail-under=75 $(INTEGRATION) $(ARGS)

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
	@$(subst .venv,.venv-$*,$(BIN))/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf .venv .venv-* .ibkr-actors .mypy_cache .ruff_cache .pytest_cache .hypothesis
