# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Each one makes what it needs first and is quick the second time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips in one environment at once trip over each other.
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
DEMO_SECONDS ?= 30
# Passed on: make test PYTEST_ARGS="-k bundle", make demo DEMO_ARGS="--device cuda".
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
TRIALS_ARGS ?=
# Where torch comes from: an index's URL, such as that of PyTorch's CUDA builds. Without it, PyTorch's index of
# CPU builds, or the folders pip is set up to find wheels in.
TORCH_INDEX ?=

# A sourced ROS 2 is used where there is one; elsewhere the sandbox, ROS 2 Jazzy as wheels in the
# virtual environment.
ROS := $(if $(filter sandbox,$(FPG_POSE_ROS)),sandbox,$(if $(ROS_DISTRO),system,sandbox))
export VENV FPG_POSE_ROS

export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := $(VENV)/bin/python -m pip
INSTALL := $(PIP) install --quiet --quiet
LOCKED := --no-deps --require-hashes --no-build-isolation
IN_ENV := . tools/ros_env.sh;

# A file for each step done, so that the next run skips it.
DONE := $(VENV)/.done
WORKSPACE := .ros
BUILT := $(WORKSPACE)/.built-$(ROS)
# Python modules run from the source tree (tools/ros_env.sh), so a change in them needs no build.
INSTALLED := CMakeLists.txt package.xml $(shell find config launch models msg objects rviz scripts srv tools/sandbox -type f -not -name '*.pyc')

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# --- set-up ---------------------------------------------------------------------------------------

.PHONY: venv sandbox build
venv: $(DONE)/torch $(DONE)/project  ## virtual environment with everything but ROS
sandbox: $(DONE)/ros-$(ROS)  ## ROS 2 in the virtual environment, unless one is sourced
build: $(BUILT) $(DONE)/torch $(DONE)/project  ## all of the above, and colcon build

# A virtual environment serves one or the other: the sandbox's wheels would hide a sourced ROS.
MADE_FOR := $(shell cat $(DONE)/python 2>/dev/null)
ifneq ($(MADE_FOR),$(if $(MADE_FOR),$(ROS)))
ifneq ($(MAKECMDGOALS),distclean)
$(error $(VENV) was made for the $(MADE_FOR) ROS, this shell has the $(ROS) one: run `make distclean`, or set VENV)
endif
endif

$(DONE)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@echo "--- $(VENV): virtual environment"
	@$(PYTHON) -m venv $(if $(filter system,$(ROS)),--system-site-packages) $(VENV)
	@mkdir -p $(DONE) && echo $(ROS) > $@

# A sourced ROS is compiled against the NumPy of its system: that one stays.
$(DONE)/locked: requirements/dev.txt $(DONE)/python
	@echo "--- $(VENV): locked packages"
	@awk '/^[^ ]/ {keep = "$(ROS)" != "system" || !/^numpy==/} keep' $< > $@.txt
	@$(INSTALL) $(LOCKED) -r $@.txt
	@touch $@

$(DONE)/torch: requirements/torch.in $(DONE)/locked
	@echo "--- $(VENV): $$(grep -v '^#' $<)"
	@if [[ -n "$(TORCH_INDEX)" ]]; then from=(--index-url "$(TORCH_INDEX)"); \
	elif $(PIP) config list | grep find-links > /dev/null; then from=(); \
	else from=(--index-url https://download.pytorch.org/whl/cpu); fi; \
	$(INSTALL) "$${from[@]}" -r $<
	@touch $@

$(DONE)/project: pyproject.toml requirements/runtime.in requirements/train.in requirements/torch.in requirements/openvino.in requirements/photorealistic.in requirements/rasteriser.in requirements/postgresql.in $(DONE)/locked
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Hand-made networks that searched ones are judged against.
$(DONE)/benchmarks: requirements/benchmarks.txt $(DONE)/torch
	@echo "--- $(VENV): packages of the benchmarks"
	@$(INSTALL) $(LOCKED) -r $<
	@touch $@

$(DONE)/ros-system: $(DONE)/locked
	@echo "--- ROS 2 $(ROS_DISTRO), as sourced"
	@touch $@

$(DONE)/ros-sandbox: requirements/ros.txt tools/sandbox/prepare.py $(DONE)/locked
	@$(VENV)/bin/python tools/sandbox/prepare.py --check
	@echo "--- $(VENV): ROS 2 Jazzy sandbox"
	@$(INSTALL) $(LOCKED) -r $<
	@$(VENV)/bin/python tools/sandbox/prepare.py
	@touch $@

# The workspace links back to this folder: CMake refuses include folders inside a package's own source
# folder, where the virtual environment with its NumPy headers lies.
$(BUILT): $(INSTALLED) $(DONE)/ros-$(ROS)
	@echo "--- $(WORKSPACE): colcon build"
	@mkdir -p $(WORKSPACE)/src && ln -sfn ../.. $(WORKSPACE)/src/fpg_pose_ros
	@$(if $(filter sandbox,$(ROS)),ln -sfn ../../tools/sandbox/tf2_msgs $(WORKSPACE)/src/tf2_msgs)
	@$(IN_ENV) python=$$(realpath --no-symlinks $(VENV)/bin/python); cd $(WORKSPACE); \
	    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL colcon --log-level error build \
	    --cmake-args -DPython3_EXECUTABLE="$$python"
	@touch $@

# --- checks ---------------------------------------------------------------------------------------

# Nodes are timed and have the machine to themselves; what needs no ROS fills the cores. Trainings, ROS and
# OpenVINO one after the other in one process end in a segmentation fault. 5 is pytest's status where
# PYTEST_ARGS leave none of a part's tests.
WITHOUT_ROS := env -u FPG_POSE_REQUIRE_ROS python -m pytest
TESTS = $(IN_ENV) \
    $(WITHOUT_ROS) -m "not ros and not openvino" -n auto --dist loadfile $(1) $(PYTEST_ARGS) || [[ $$? -eq 5 ]]; \
    python -m pytest -m "ros and not openvino" $(1) $(PYTEST_ARGS) || [[ $$? -eq 5 ]]; \
    $(WITHOUT_ROS) -m openvino $(1) $(PYTEST_ARGS) || [[ $$? -eq 5 ]]

.PHONY: test test-slow trials lint types arrows format
test: build $(DONE)/benchmarks lint types arrows  ## linters, types, import directions, tests
	@$(call TESTS)

test-slow: build $(DONE)/benchmarks  ## all tests, the long ones too
	@$(call TESTS,--slow)

trials: build $(DONE)/benchmarks  ## hostile input, faults and a soak of 10 minutes; TRIALS_ARGS="--soak-minutes 60"
	@$(IN_ENV) FPG_POSE_REQUIRE_ROS=1 python -m pytest test/fpg_pose_ros/nodes/trials $(TRIALS_ARGS)

lint: $(DONE)/locked
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: $(DONE)/torch
	@$(VENV)/bin/mypy

arrows: $(DONE)/locked
	@$(VENV)/bin/lint-imports --no-cache

format: $(DONE)/locked  ## format the code and mend what ruff can
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

# --- runs -----------------------------------------------------------------------------------------

.PHONY: demo demo-shipped bench-ablation bench-lmo bench-methods bench-node bench-search bench-table bench-temporal
demo: build  ## train on Spot, run camera and pose node, report in demo/
	@$(IN_ENV) fpg-pose demo --seconds $(DEMO_SECONDS) $(DEMO_ARGS)

demo-shipped: build  ## the same with the bundle in models/spot: no training
	@$(IN_ENV) fpg-pose demo --seconds $(DEMO_SECONDS) --bundle models/spot $(DEMO_ARGS)

bench-lmo: build  ## LM-O photographs through the ROS topics; FPG_POSE_DATA names the data
	@$(IN_ENV) python benchmarks/lmo_through_ros.py $(BENCH_ARGS)

bench-ablation: venv  ## a network with and without what its head corrects; goes on when run again
	@$(VENV)/bin/python benchmarks/ablation.py $(BENCH_ARGS)

bench-methods: venv  ## every strategy under equal compute; hours, goes on when run again
	@$(VENV)/bin/python benchmarks/methods.py $(BENCH_ARGS)

bench-node: build  ## what the pose node costs, and whether frames are lost; goes on when run again
	@$(IN_ENV) python benchmarks/node.py $(BENCH_ARGS)

bench-table: venv  ## every network of a small space trained, and searches in it; hours, goes on when run again
	@$(VENV)/bin/python benchmarks/table.py $(BENCH_ARGS)

bench-search: venv $(DONE)/benchmarks  ## searched networks against hand-made ones; hours, goes on when run again
	@$(VENV)/bin/python benchmarks/search.py $(BENCH_ARGS)

bench-temporal: venv  ## networks that remember against single-frame ones; most of an hour, goes on when run again
	@$(VENV)/bin/python benchmarks/temporal.py $(BENCH_ARGS)

# --- upkeep ---------------------------------------------------------------------------------------

.PHONY: lock clean distclean
UV ?= uv
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --python-version 3.10 \
    --generate-hashes --no-annotate --no-python-downloads

lock:  ## resolve requirements/*.in anew; needs uv
# OpenVINO's reports to its makers serve its conversion tools, which no one here calls.
	@cd requirements && $(LOCK) dev.in -o dev.txt --no-emit-package openvino-telemetry
# colcon asks for pytest plugins that only its own tests use.
	@cd requirements && $(LOCK) ros.in -c dev.txt -o ros.txt --no-emit-package coverage \
	    --no-emit-package pytest-cov --no-emit-package pytest-repeat --no-emit-package pytest-rerunfailures
# torch has its own file; timm's other needs are locked in dev.txt, or serve downloads that no one here makes.
	@cd requirements && $(LOCK) benchmarks.in -c dev.txt -o benchmarks.txt --no-deps

clean:  ## remove what was built and written, but not the virtual environment
	rm -rf $(WORKSPACE) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find fpg_pose_ros offline_search test benchmarks launch -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the virtual environment too
	rm -rf $(VENV)
