# Every target works from a fresh clone: it makes .venv and installs the package first.
# PYTHON=python3.12 chooses the interpreter, PYTEST_ARGS="-k push" the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST_ARGS ?=
DEMO_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install gl demo test lint format types pytest bench doctor package clean distclean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 14

install: $(INSTALLED)  ## make .venv and install the package with its development tools

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(None if v >= (3, 11) else "Python 3.11 or newer is needed, $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'Python has no venv module. Install it and try again: sudo apt-get install python3-venv' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

gl: $(INSTALLED)  ## check that offscreen OpenGL works
	@$(BIN)/worldmodel doctor check=gl

demo: gl  ## roll the shipped model out against MuJoCo and write a report
	$(BIN)/worldmodel demo $(DEMO_ARGS)

test: lint types gl pytest  ## everything CI runs: ruff, mypy, pytest

lint: $(INSTALLED)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

# One thread per process: two processes then use two cores better than two threads would.
pytest: $(INSTALLED)  ## the tests alone
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal $(PYTEST_ARGS)

bench: gl  ## speed and memory against MuJoCo rendering
	$(BIN)/worldmodel bench

doctor: $(INSTALLED)  ## versions, device, OpenGL, extras
	$(BIN)/worldmodel doctor

package: $(INSTALLED)  ## build a wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove caches and build output; .venv, data/ and runs/ stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## remove .venv too
	rm -rf $(VENV)
