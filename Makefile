# A few verbs; `make help` lists them. `make demo` and `make test` need nothing but Python 3.11 to 3.13 with venv and pip.
# Which Python: the first of these that is new enough, or the one named by `make setup PYTHON=/path/to/python3.12`.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$name" && exit; done; echo python3)
CORES  ?= $(shell nproc 2>/dev/null || echo 2)
BIN    := $(CURDIR)/.venv/bin
# with a folder wheelhouse (`make wheelhouse`, on a machine with network) nothing is fetched
PIP    := -m pip install --quiet --disable-pip-version-check $(if $(wildcard wheelhouse),--no-index --find-links wheelhouse)
# nothing is built but one package, by a tool that is itself in a lock
LOCKED := --require-hashes --only-binary :all: --no-binary connection-pool --no-build-isolation
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup wheelhouse demo test test-fast check bench verify mutants fuzz audit weights judge slurm-test docs full clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

setup: .venv/ready  ## create .venv with the pinned packages

.venv/ready: requirements.lock requirements-build.lock pyproject.toml
	@echo "setting up .venv (a minute or two) ..."
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed, found " + sys.version.split()[0] + ": make setup PYTHON=/path/to/python3.12")'
	"$(PYTHON)" -m venv --clear .venv
	"$(BIN)"/python $(PIP) --require-hashes --only-binary :all: -r requirements-build.lock
	"$(BIN)"/python $(PIP) $(LOCKED) -r requirements.lock
	"$(BIN)"/python $(PIP) --no-build-isolation --no-deps -e .
	"$(BIN)"/ctcascade warm
	@touch $@

wheelhouse:  ## fetch all packages into wheelhouse, from which setup works without network (same Python and system)
	"$(PYTHON)" -m venv --clear build/fetch
	build/fetch/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r requirements-build.lock
	build/fetch/bin/python -m pip download --quiet --disable-pip-version-check $(LOCKED) -d wheelhouse \
		-r requirements-build.lock -r requirements.lock

demo: .venv/ready  ## run the whole workflow on the shipped phantom slides; prints where the report is
	snakemake --cores $(CORES) --quiet rules
	@echo "open $(CURDIR)/results/index.html"

test: .venv/ready  ## run the tests on all cores
	"$(BIN)"/python -m pytest -n $(CORES) --dist worksteal

test-fast: .venv/ready  ## run the quick tests: no workflow, no browser, no search for counterexamples
	"$(BIN)"/python -m pytest -n $(CORES) --dist worksteal -m "not workflow and not browser and not property and not slow"

check: .venv/ready  ## check style, types, directions of imports and the workflow
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	"$(BIN)"/python tests/lint_workflow.py

bench: .venv/ready  ## time the stages and, in the same run, comparable packages
	"$(BIN)"/python -m benchmarks.bench

verify: .venv/ready  ## the statistical verification: each figure with its verdict
	"$(BIN)"/python -m verification.verify

mutants: .venv/ready  ## break a copy of the project in one way after another; the tests must notice each
	"$(BIN)"/python tests/mutants.py

fuzz: .venv/ready  ## give every reader mutated files (CASES each)
	"$(BIN)"/python tests/fuzz.py $(or $(CASES),100000)

audit:  ## check the pinned packages against public advisories (network) and write the bill of materials
	"$(PYTHON)" -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom
	build/audit/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json
	build/audit/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

weights: .venv/ready  ## train the learned segmenter's network again, from images that the project does not ship
	"$(PYTHON)" -m venv training/.venv
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-build.lock
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check $(LOCKED) -r requirements.lock
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r training/requirements.txt
	PYTHONPATH=$(CURDIR) training/.venv/bin/python training/train.py

judge: .venv/ready  ## train the learned judge again: 1,600 slides of four generators, about half an hour
	"$(PYTHON)" -m venv training/.venv
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-build.lock
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check $(LOCKED) -r requirements.lock
	training/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r training/requirements.txt
	PYTHONPATH=$(CURDIR)/pipeline:$(CURDIR) training/.venv/bin/python -m training.judge_slides 0-1600 build/judge
	PYTHONPATH=$(CURDIR)/pipeline:$(CURDIR) training/.venv/bin/python -m training.judge build/judge

slurm-test: .venv/ready  ## run the workflow on a Slurm of two nodes, through cancelled jobs and lost nodes (root, Debian)
	"$(BIN)"/python -m pytest tests/on_slurm.py

docs: .venv/ready  ## build the documentation as a site in build/site; its reference is made from the code
	"$(BIN)"/mkdocs build

full: check test verify mutants docs slurm-test  ## everything, before a release: about an hour

clean:  ## remove results, logs and caches (not .venv)
	rm -rf results logs .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
