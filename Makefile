# make demo: see it work.  make bench, make soak MINUTES=60: figures.  make test: everything CI does.  make matrix: each PostgreSQL.  Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

RELEASES ?= 14.23.0 15.19.0 16.15.0 17.11.0 ours  # of PostgreSQL; `ours` is the 18 that hitless brings along

.PHONY: setup node demo test matrix check bench soak docs clean

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hitless needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The official providers of flags for Node and the web; without them their tests say that they were not run.
node:
	npm install --prefix tests/live/flags/node --no-package-lock --no-audit --no-fund --silent

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	@tests/all.sh $(BIN)/pytest

matrix: setup
	for release in $(RELEASES); do \
	  echo "PostgreSQL $$release"; HITLESS_TEST_PG=$$release $(BIN)/pytest -q tests/live/database || exit 1; \
	done

demo: setup
	$(BIN)/hitless demo

bench: setup
	$(BIN)/python bench/run.py

docs: setup  # what is made from the code: two pages and two schemas
	$(BIN)/python docs/make.py

soak: setup
	$(BIN)/python bench/changes/soak.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
