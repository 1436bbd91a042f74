# Two commands matter: `make demo` and `make test`. Both need python3 (3.11 or newer) and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-output
PARALLEL ?= --numprocesses auto --dist worksteal
GPU_PYTHON ?= $(BIN)/python
TRAINING ?= build/training

# PyTorch's builds without CUDA carry "+cpu" in their version (constraints.txt asks for them), so
# that a machine without a GPU never downloads CUDA. If your package index has none, set
# TORCH_INDEX_URL to the CPU index that PyTorch's "Get started" page gives.
TORCH_INDEX_URL ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))

.PHONY: demo test test-fast test-gpu gpu-report lint types package-check news train bench-peers cpp-test clean

demo: $(VENV)/installed-cpu
	$(BIN)/swinir-deploy demo -o $(OUT) --overwrite

# Coverage is measured on the fast tests: on the slow ones it would cost as much time as they take.
# Tests that measure time or the whole machine run alone, after the others. The limit for lines and
# branches stands in pyproject.toml.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not serial" \
		--cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not serial"
	$(BIN)/python -m pytest -m serial
	$(BIN)/coverage combine --append --quiet || true # of processes that ended late, if any
	$(BIN)/coverage report $(if $(shell command -v ffmpeg),,--fail-under=85) # videos need it

test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not serial"

# On a machine with an NVIDIA GPU, in an environment that has a torch for it and the extras to be
# tested (cuda, tensorrt, rtx, ort-gpu or ort-rtx): make test-gpu GPU_PYTHON=/path/to/python. What is
# missing is skipped, with the reason at the end.
test-gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(VENV)/installed-dev)
	$(GPU_PYTHON) -m pytest tests/gpu --timeout 300

# Figures of this machine's GPU: needs torch for CUDA, Triton and NumPy, nothing else. OFFICIAL is the
# path of the official network_swinir.py, for the rows to compare with.
gpu-report:
	$(GPU_PYTHON) tools/gpu_report.py $(or $(REPORT),build/gpu-report) --plot $(if $(OFFICIAL),--official $(OFFICIAL))

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed-dev
	$(BIN)/mypy

# The wheel in a clean environment without torch restores a picture from an exported file.
package-check: $(VENV)/installed-dev
	PYTHON=$(PYTHON) BIN=$(abspath $(BIN)) bash tools/check_package.sh

# The changelog as the fragments of changelog.d/ would make it.
news: $(VENV)/installed-dev
	$(BIN)/towncrier build --draft --version NEXT

# Trains a built-in model again: make train MODEL=tiny-denoise-gray-25. Pictures are collected once;
# an interrupted run goes on where it stopped.
train: $(VENV)/installed-dev
	test -e $(TRAINING)/pictures/manifest.json || $(BIN)/python tools/training_pictures.py $(TRAINING)/pictures
	$(BIN)/python tools/train.py --model $(MODEL) --pictures $(TRAINING)/pictures --compile --out $(TRAINING)/$(MODEL)

# This project against the official network in PyTorch and its naive exports: half an hour, on a
# machine that does nothing else.
bench-peers: $(VENV)/installed-dev
	$(PIP_INSTALL) matplotlib
	$(BIN)/python tools/bench_peers.py -o benchmarks/peers.json --plot docs/images/peers.svg

# The C library: built with every warning an error, tested under the sanitizers, beside Python, and
# for Windows under Wine. Needs a C++ compiler; what else is missing is said and left out, and
# cpp/tools/install_tools.sh installs it on Debian. One way alone: make cpp-test PRESETS=asan
cpp-test: $(VENV)/installed-dev
	PYTHON=$(BIN)/python PRESETS="$(PRESETS)" bash cpp/tests/run.sh

clean:
	rm -rf $(VENV) $(OUT) build dist

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "swinir-deploy needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'

$(VENV)/installed-cpu: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[cpu]'
	touch $@

# The tools stand in pyproject.toml's [dependency-groups], which pip knows since 25.1.
# vsswinir brings the official network, the oracle of the tests. Its own dependencies (VapourSynth)
# are of no use here.
$(VENV)/installed-dev: $(VENV)/installed-cpu
	$(PIP_INSTALL) --group dev --editable '.[cpu,openvino,video]'
	$(PIP_INSTALL) --no-deps vsswinir
	touch $@
