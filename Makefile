# Every target sets up its own environment; a second call installs nothing.
#
#   make install  the package with all that development needs
#   make demo     teach, ask, extend, save and load a classifier of customer messages
#   make test     the fast tests             make slow   the slow ones
#   make style    format and mend; write the tables of docs/      make quality   only check
#   make docs     the site of docs/, into site/
#   make bench    the benchmarks, on the data in DATA
#   make clean    remove the environment, built files and caches
#
# PYTHON, VENV, CONSTRAINTS, DATA, WORKERS and PYTEST_ARGS can be given:
#   make test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
DATA ?= data
# Small tensors gain little from a second thread: two workers of one thread each are faster on two cores.
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
# Parts not yet in a checkout are left out of the checks.
SOURCES := $(wildcard mann_hf tasks examples tests docs)

SHELL := bash
# Where no bytecode is kept, each worker and each of the hundreds of processes of the tests compiles all files anew.
unexport PYTHONDONTWRITEBYTECODE

# A line for each package that pip fetches, none for those that are there, and one as it installs them all.
define SAY_WHAT_COMES
while read -r what name rest; do case "$$what $$name $$rest" in \
	Collecting*) echo "  $$name" ;; \
	Processing*) echo "  $${name##*/}" ;; \
	Downloading*MB*) echo "    downloading $$rest" ;; \
	'Installing collected'*) echo "  installing $$(wc -w <<< "$${rest#packages:}") of them" ;; \
esac; done
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test slow style quality docs bench clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@echo "Making an environment in $(VENV)."
	@$(PYTHON) -m venv $(VENV)

# One stamp for each extra installed. An older pip reads the constraints otherwise, so pip comes first.
$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing mann_hf[$*] into $(VENV); the first time takes minutes."
	@$(BIN)/python -m pip install -qq --upgrade pip -c $(CONSTRAINTS)
	@set -o pipefail; $(BIN)/python -m pip install --no-color --editable ".[$*]" -c $(CONSTRAINTS) | $(SAY_WHAT_COMES)
	@touch $@

# So that make does not take a stamp for an intermediate file and remove it.
.SECONDARY:

install: $(VENV)/.installed-dev

demo: $(VENV)/.installed-demo
	$(BIN)/python -m examples.customer_messages.demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

style: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/python -m docs.render

quality: $(VENV)/.installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)

# Any warning fails: a broken link, a reference to what does not exist, a notebook that ends in an error.
docs: $(VENV)/.installed-docs
	HF_HUB_OFFLINE=1 NO_MKDOCS_2_WARNING=1 PYTHONWARNINGS="ignore:IProgress not found" $(BIN)/python -m mkdocs build --strict --site-dir site

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tasks.few_shot_text.benchmark --data $(DATA)
	$(BIN)/python -m tasks.few_shot_text.speed

clean:
	rm -rf $(VENV) build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +
