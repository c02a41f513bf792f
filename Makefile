# demo: from nothing to a report. test: everything the tests need, and the tests. test-faults: the tests in which
# processes, nodes and disks fail, and a cluster over ssh. test-oracles: methods against another library's, in an
# environment of its own. check: lint and types.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo install test test-faults test-oracles bench check clean

demo: install
	@$(BIN)/python study/run.py run core

install: .venv/.installed

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, but $(PYTHON) is older: make demo PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing into .venv: some minutes, and up to 6 GB where PyTorch brings its CUDA libraries"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $@

test: install
	$(BIN)/python -m pytest -m "not faults"

test-faults: install
	$(BIN)/python -m pytest -m faults

test-oracles: .venv-oracles/.installed
	.venv-oracles/bin/python -m pytest tests/oracles

.venv-oracles/.installed: pyproject.toml
	@$(PYTHON) -m venv .venv-oracles
	@.venv-oracles/bin/python -m pip install -qq --upgrade pip
	@.venv-oracles/bin/python -m pip install -qq --editable '.[oracles]'
	@touch $@

bench: install
	@$(BIN)/python -m pip install -qq --editable '.[bench]'
	$(BIN)/python tests/benchmarks/run.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-oracles results
