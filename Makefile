# Two commands matter: `make demo` and `make test`. Each sets up all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
BENCH_STAMP := $(VENV)/.set-up-bench
DOCS_STAMP := $(VENV)/.set-up-docs

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults soak bench docs screenshots check format lock clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv with the console script, and the broker's jars where there is no Docker
	@$(BIN)/python -m compileall -q stream_app api producers # each start would, where PYTHONDONTWRITEBYTECODE is set
	@$(BIN)/store-uptime kafka prepare

demo: setup ## the main job on the sample data: broker, worker, API, replay, report (KEEP=1 stays up)
	@$(BIN)/store-uptime demo $(if $(KEEP),--keep)

test: setup ## the whole test suite, on a real Kafka
	@$(BIN)/python -m pytest

faults: setup ## break the running product under load in twenty-two ways; half an hour, ends with a table
	@$(BIN)/python -m pytest -m faults tests/faults

soak: setup ## live pings while workers come and go every few seconds, then a comparison; MINUTES=20 SEED=1
	@$(BIN)/python -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

bench: setup $(BENCH_STAMP) ## what it costs, on a real Kafka, beside other ways; ONLY=replay,fleet RUNS=1: a part
	@$(BIN)/python -m benchmarks --runs $(or $(RUNS),3) $(if $(ONLY),--only $(ONLY))

docs: setup $(DOCS_STAMP) ## the documentation as a site, into site/; SERVE=1: on this machine, renewed as it is written
	@$(if $(SERVE),$(BIN)/mkdocs serve,$(BUILD_DOCS))

# Not with --quiet: warnings do not count then. What is merely told is left out of the output.
BUILD_DOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict >$(VENV)/docs.log 2>&1 && echo site/index.html \
	|| { grep -v '^INFO' $(VENV)/docs.log >&2; exit 1; }

screenshots: setup ## the pictures of the pages in docs/pictures, taken of a running demo (needs Chromium)
	@$(BIN)/python docs/screenshots.py

check: setup ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## format and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not part of setup: it asks the package index for the newest versions.
lock: ## write the lock files anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--group dev pyproject.toml --output-file requirements.lock --upgrade
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--group pyproject.toml:bench --constraint requirements.lock \
		--output-file benchmarks/requirements.lock --upgrade
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--group pyproject.toml:docs --constraint requirements.lock \
		--output-file docs/requirements.lock --upgrade

clean: ## remove .venv and caches
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'make: Python 3.11 or newer is needed: install it (Debian: apt install python3 python3-venv), or name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo 'make: Python cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing the locked packages into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS_STAMP): $(STAMP) docs/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@touch $@

$(BENCH_STAMP): $(STAMP) benchmarks/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	@touch $@
