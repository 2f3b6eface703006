# The two commands that a fresh machine needs: make train, make test.
PYTHON ?= python3
BIN := .venv/bin
# a test process for each core; threads that wait without spinning leave the core to the other
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q

.PHONY: train test test-fast lint reliability clean

train: .venv/installed
	$(BIN)/striate train digits

test: .venv/installed lint
	$(PYTEST) -n auto --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

test-fast: .venv/installed
	$(PYTEST) -n auto --dist worksteal -m "not slow and not browser"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reliability: .venv/installed
	$(PYTEST) tests/reliability -p tests.reliability.count

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt "torch"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build src/*.egg-info
