# `make help` lists the targets. Another interpreter or environment: make run PYTHON=python3.12 VENV=/some/folder
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
JOBS ?= 2
MINUTES ?= 5
BIN := $(VENV)/bin
# One thread per test process: the processes already use the cores, and results do not depend on their number.
# Bytecode is kept: without it, every process takes a quarter of a minute to prepare the assertions.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
INSTALL := PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check slow fuzz lowest golden results benchmarks docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

run: $(VENV)/.installed  ## teachers, Senior, Junior, evaluation and a prediction on a small graph; offline, minutes
	$(BIN)/mulde run --data umls --dim 8

test: $(VENV)/.installed-dev  ## all tests that need neither real data nor an accelerator; what the CI runs
	$(PYTEST) -n $(JOBS) --dist loadfile

check: $(VENV)/.installed-dev  ## format, lint, types, floors, examples and a sample of the tests; before every commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -n $(JOBS) --dist loadfile --quick

slow: $(VENV)/.installed-dev  ## tests on real data; KGE_DATA_HOME names the folder that holds it
	$(PYTEST) -m slow

fuzz: $(VENV)/.installed-dev  ## read changed files, kill commands that write and run them twice at once, for MINUTES (5)
	$(PYTEST) -n $(JOBS) --dist loadfile -o python_files='fuzz_*.py' -rP tests/fuzz --minutes $(MINUTES)

lowest:  ## a sample of the tests with the lowest releases that pyproject.toml allows, in an environment of its own
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python tests/lowest.py > $(LOWEST)/constraints.txt
	PIP_CONSTRAINT=$(LOWEST)/constraints.txt $(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(JOBS) --quick -W ignore::DeprecationWarning  # of old releases

golden: $(VENV)/.installed-dev  ## compute the golden losses anew and show old beside new
	$(PYTEST) tests/golden tests/vision/methods/test_golden.py --refresh-golden -s

benchmarks: $(VENV)/.installed  ## measure speed, alone on the machine; KGE_DATA_HOME as above; writes results/speed/
	for name in startup training_step one_vs_all evaluation mulde_step latency; do \
		$(BIN)/python -m benchmarks.speed.$$name || exit 1; \
	done

results: $(VENV)/.installed  ## draw the pictures of results/ and fill README.md with its tables and numbers
	for name in vision goals overview plots; do $(BIN)/python -m benchmarks.quality.$$name || exit 1; done
	$(BIN)/python -m benchmarks.harness.pages

docs: $(VENV)/.installed-dev  ## build the documentation into site/
	PYTHONPATH=$(CURDIR) $(BIN)/mkdocs build --strict --quiet

clean:  ## remove the environment and all caches, not runs/
	rm -rf $(VENV) $(LOWEST) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@
