# Everything happens in this folder: `make setup` builds .venv and changes nothing outside it
# (in a bare container, as root, it adds the two system libraries OpenCV needs: scripts/apt.sh).
PYTHON ?= python3
EDGE_PYTHON ?= $(shell scripts/edge_python.sh $(PYTHON))
VENV ?= .venv
EDGE_VENV ?= .venv-edge
PY := $(VENV)/bin/python
EDGE_PY := $(EDGE_VENV)/bin/python
READY := $(VENV)/.ready
EDGE_READY := $(EDGE_VENV)/.ready
# The tests that passed without TensorFlow: `make test` does not run them a second time.
EDGE_PASSED := $(EDGE_VENV)/passed
# Tests of one file run in one process, in order; WORKERS=0 runs all in this one.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# A comma inside $(call …) would end the argument.
, := ,
PIP_INSTALL := -m pip install --disable-pip-version-check -c constraints.txt

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow lint docs edge-env edge-test bench soak clean

help:  ## print this list
	@echo "make TARGET [PYTHON=python3.12] [EDGE_PYTHON=python3.10]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  \1\t/' | expand -t 16

setup: $(READY)  ## build .venv (training, export, tests); nothing to do when it is up to date

demo: setup  ## train a small detector, export it, judge a video; ends by saying where to look
	$(PY) -m keras_ddl.demo

test: lint edge-test  ## all checks: style, types, tests without TensorFlow, then those that need it
	$(PY) -m pytest -m "not slow and not gpu and not service" --leave-out=$(EDGE_PASSED) $(PARALLEL)

test-slow: setup  ## every test in .venv, those that take minutes too
	$(PY) -m pytest -m "not slow and not gpu and not service" $(PARALLEL)
	$(PY) -m pytest -m "slow and not gpu"

lint: setup  ## ruff and mypy
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

edge-env: $(EDGE_READY)  ## build .venv-edge: what a device has, without TensorFlow, on Python 3.10 where there is one

docs: setup  ## the API reference, from the docstrings: build/docs/index.html
	$(PY) scripts/api_reference.py

# Tests of the training half skip themselves here: they start with importorskip("tensorflow").
edge-test: edge-env  ## run the tests of the edge half in it
	$(EDGE_PY) -m pytest -r fE --write-passed=$(EDGE_PASSED) $(PARALLEL)

bench: setup  ## speed of layers, int8, training step, other detectors, preparation, input pipeline, two workers
	$(PY) -m benchmarks.networks.modules
	$(PY) -m benchmarks.networks.roofline --threads 1
	$(PY) -m benchmarks.networks.int8
	$(PY) -m benchmarks.networks.edge_network
	$(PY) -m benchmarks.networks.naive_step
	$(PY) -m benchmarks.networks.against $(if $(TORCH_PYTHON),--torch-python $(TORCH_PYTHON))
	$(PY) -m benchmarks.training.data
	$(PY) -m benchmarks.training.workers
	$(PY) -m benchmarks.networks.untrained_bundle --size 64 --width 0.25 --out runs/untrained-64
	$(PY) -m benchmarks.networks.untrained_bundle --size 128 --out runs/untrained-128
	$(PY) -m benchmarks.networks.untrained_bundle --out runs/untrained-fp32
	$(PY) -m benchmarks.networks.untrained_bundle --out runs/untrained-int8 --precision int8
	$(PY) -m benchmarks.archives.cluster_overhead runs/untrained-64
	$(PY) -m benchmarks.streams.many_faces
	$(PY) -m benchmarks.streams.stream runs/untrained-64 runs/untrained-128 runs/untrained-int8 runs/untrained-fp32

soak: setup  ## four cameras of drawn faces for half an hour, then ten minutes beyond capacity: what grows?
	$(PY) -m benchmarks.networks.untrained_bundle --size 64 --width 0.25 --out runs/soak-bundle
	$(PY) -m benchmarks.streams.soak --bundle runs/soak-bundle
	$(PY) -m benchmarks.streams.overload

clean:  ## remove both environments and the tools' caches (runs/ and data/ stay)
	rm -rf $(VENV) $(EDGE_VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

# $(call environment,PYTHON,FOLDER,EXTRAS): make FOLDER if it is not whole, and install this project into it.
define environment
@$(1) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
  echo "error: Python 3.10 to 3.13 is needed, $(1) says '$$($(1) --version 2>&1 | head -n 1)'; name another: make PYTHON=python3.12 setup" >&2; exit 3; }
@$(1) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "error: $(1) cannot make environments; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 3; }
@$(2)/bin/python -m pip --version >/dev/null 2>&1 || $(1) -m venv --clear $(2)
@echo "installing into $(2): $(3)"
$(2)/bin/python $(PIP_INSTALL) -e ".[$(3)]"
@scripts/apt.sh $(2)/bin/python
endef

$(READY): pyproject.toml constraints.txt
	$(call environment,$(PYTHON),$(VENV),train$(,)onnx$(,)edge$(,)dev)
	@$(PY) -c 'from keras_ddl.edge.faces import open_detector; open_detector()' || true  # no network: a line says so
	@touch $@

$(EDGE_READY): pyproject.toml constraints.txt
	$(call environment,$(EDGE_PYTHON),$(EDGE_VENV),edge$(,)evidence$(,)screen)
	$(EDGE_PY) $(PIP_INSTALL) pytest pytest-xdist
	@touch $@
