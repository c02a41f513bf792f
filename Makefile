# demo: from nothing to a report. test-fast: under a minute, while working. test: everything but faults. test-faults:
# processes, nodes and disks fail, and a cluster over ssh. test-oracles: methods against another library's, in an
# environment of its own. check: lint and types. lock: the exact environment, written to requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
XDIST := --numprocesses $(WORKERS) --dist worksteal
# From Python 3.12 on measuring coverage costs little; before, it doubles the time: make test COVERAGE=--cov.
ifneq ($(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 12) else "")' 2> /dev/null),)
COVERAGE ?= --cov
export COVERAGE_CORE := sysmon
endif

.PHONY: demo install test test-fast test-faults test-oracles bench gpu-check check lock clean

demo: .venv/.study
	@$(BIN)/python study/run.py run core

install: .venv/.dev

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, but $(PYTHON) is older: make demo PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade pip
	@touch $@

.venv/.study: pyproject.toml | .venv/.made
	@echo "installing into .venv: some minutes, and up to 6 GB where PyTorch brings its CUDA libraries"
	@$(BIN)/python -m pip install -qq --editable '.[study]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/.made
	@echo "installing into .venv: some minutes, and up to 6 GB where PyTorch brings its CUDA libraries"
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch .venv/.study $@

test: install
	$(BIN)/python -m pytest -m "not faults" $(XDIST) $(COVERAGE)

test-fast: install
	$(BIN)/python -m pytest -m "not faults and not slow" $(XDIST)

test-faults: install
	$(BIN)/python -m pytest -m faults $(XDIST)

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

# With another Python that has PyTorch for the card: make gpu-check GPU_PYTHON=python3
GPU_PYTHON ?= $(BIN)/python
gpu-check:
	$(GPU_PYTHON) tests/benchmarks/gpu_check.py --page docs/gpu.md

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: install
	@$(BIN)/python -m pip install -qq uv
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra dev --no-emit-index-url --no-header \
	  --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .venv-oracles results
