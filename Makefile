# The commands of the project; `make help` lists them

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Python compiles a module when it is first imported; most modules here never are
PIP := $(BIN)/python -m pip install --quiet --no-compile

# Those of the extra "peers" that tests compare with, and what compiles the CUDA kernels, installed
# one by one: a wheel that is missing would stop pip from installing the whole extra, and the tests
# that need it are only skipped. Of what bmtk asks for, its reader of spikes lacks only six
PEERS := nest-simulator elephant libsonata pynwb nwbinspector "--no-deps bmtk six" cupy-cuda13x nvidia-cuda-nvrtc

# The run that the README shows: one second of the cortical microcircuit on two ranks; the reference
# rates are those after the first 0.1 s
RUN := $(BIN)/mpiexec -n 2 $(BIN)/python -m mpi4py -m simcore run microcircuit \
	--set drive=dc --duration 1000 --record-from 100 \
	--output microcircuit.h5 --overwrite --raster microcircuit.png

# The files of tests are spread over two processes; with ARGS="-n 0" they are not
SPREAD := --numprocesses logical --maxprocesses 2 --no-loadscope-reorder

# With the repository on PYTHONPATH the folder io/ would hide Python's own io
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help env run test faults lint format clean distclean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

env: $(READY) ## Create .venv with simcore, an MPI and the tools (needs Python 3.11 or later)

$(READY): pyproject.toml setup.cfg
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		f"simcore needs Python 3.11 or later, $(PYTHON) is {sys.version.split()[0]}: " \
		"name another one, as in make env PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[mpi,analysis,dev]'
	@for peer in $(PEERS); do \
		echo "$(PIP) --only-binary :all: $$peer"; \
		$(PIP) --only-binary :all: $$peer \
			|| echo "No wheel of $$peer here: the tests that need it will be skipped"; \
	done
	@touch $@

run: env ## Simulate the cortical microcircuit for one second on two ranks
	$(RUN)

test: env ## Run every test, serial and on 1 to 7 ranks; ARGS="..." goes to pytest
	$(BIN)/pytest $(SPREAD) $(ARGS)

faults: env ## Kill runs at every operation on files and 200 times at random, damage files (half an hour)
	$(BIN)/pytest --quiet tests/faults/test_locks.py
	SIMCORE_EXPONENTIALS=10000000 $(BIN)/pytest --quiet tests/unit/test_portable.py
	$(BIN)/python -m tests.faults.points
	$(BIN)/python -m tests.faults.mutations
	$(BIN)/python -m tests.faults.campaign $(ARGS)

lint: env ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/shellcheck .ci/run slurm/*.sh slurm/*.sbatch
	@rm -rf build
	$(PIP) --no-deps --target build/types .
	@rm -rf build/lib build/bdist.*
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache --package simcore

format: env ## Rewrite the sources in the house format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## Remove what builds, tests and runs left behind
	rm -rf build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf microcircuit.h5 microcircuit.h5.* microcircuit.png
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV)
