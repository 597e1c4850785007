# Every target sets itself up: a virtual environment in VENV with the pinned versions of
# constraints.txt. VENV=path puts it elsewhere, PYTHON=python3.12 makes it with another Python.

VENV ?= .venv
PYTHON ?= python3
RECORDINGS ?=
MINUTES ?= 30
# Processes that the quick tests are shared out to.
TEST_PROCESSES ?= 2

bin := $(VENV)/bin
# An install is out of date when one of these is newer than its stamp.
requirements := pyproject.toml setup.cfg constraints.txt
package_files = $(shell find sklearn_brainlm -name '*.py')

# One thread: the sums, and the time limits of the tests, do not depend on the machine.
test lint test-slow test-oldest faults fuzz doc: export OMP_NUM_THREADS = 1
# Networks this small gain nothing from a second thread, and wait for it on a busy machine.
demo: export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-slow test-oldest faults fuzz lint doc clean

help:
	@echo "make demo                    the main job on a simulated cohort, with figures"
	@echo "make demo RECORDINGS=folder  the same on a folder of recordings (see README.md)"
	@echo "make test                    the quick tests, with coverage"
	@echo "make test-slow               the tests that take longer"
	@echo "make test-oldest             the quick tests on the oldest supported versions"
	@echo "make faults                  faults, bad inputs and hostile files, as a table"
	@echo "make fuzz MINUTES=30         changes at random for so long, as a table"
	@echo "make lint                    style, import contracts, docstrings and their examples"
	@echo "make doc                     the documentation, into doc/_build/html"
	@echo "make clean                   remove $(VENV), caches and the results of the demo"

$(bin)/python:
	$(PYTHON) -m venv "$(VENV)"

$(VENV)/.installed-%: $(requirements) | $(bin)/python
	"$(bin)/python" -m pip install --quiet -c constraints.txt -e ".[$*]"
	@touch "$@"

demo: $(VENV)/.installed-demo
	"$(bin)/sklearn-brainlm" demo $(if $(RECORDINGS),--recordings "$(RECORDINGS)")

test: $(VENV)/.installed-test
	"$(bin)/python" -m pytest -n $(TEST_PROCESSES) -m "not slow and not fault and not fuzz" \
		--cov=sklearn_brainlm --durations=10

test-slow: $(VENV)/.installed-test
	"$(bin)/python" -m pytest -m "slow and not fault and not fuzz"

test-oldest:
	$(PYTHON) -m venv "$(VENV)-oldest"
	$(PYTHON) .ci/oldest_versions.py > "$(VENV)-oldest/constraints.txt"
	"$(VENV)-oldest/bin/python" -m pip install --quiet -c "$(VENV)-oldest/constraints.txt" -e ".[test]"
	"$(VENV)-oldest/bin/python" -m pytest -n $(TEST_PROCESSES) -m "not slow and not fault and not fuzz"

faults: $(VENV)/.installed-test
	"$(bin)/python" -m pytest tests/faults

fuzz: $(VENV)/.installed-test
	"$(bin)/python" benchmarks/fuzzing.py --minutes $(MINUTES) --output build/fuzzing

lint: $(VENV)/.installed-dev
	"$(bin)/ruff" check .
	"$(bin)/ruff" format --check .
	"$(bin)/lint-imports" --no-cache
	"$(bin)/python" -m numpydoc lint $(package_files)
	"$(bin)/python" -m pytest --doctest-modules sklearn_brainlm \
		--ignore=sklearn_brainlm/integrations/brainmarks  # needs the suite it is for

doc: $(VENV)/.installed-doc
	"$(bin)/python" -m sphinx -W -b html doc doc/_build/html

clean:
	rm -rf doc/_build doc/generated
	rm -rf "$(VENV)" "$(VENV)-oldest" build dist demo_output htmlcov .coverage .pytest_cache .ruff_cache
	rm -rf sklearn_brainlm.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# A set-up that failed half-way starts afresh; a stamp that was made stays.
.DELETE_ON_ERROR:
.SECONDARY:
