# `make demo` and `make test` are all that a newcomer needs; both set up what they need, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.shoal-installed
SHOAL_DATA ?= ../shared/data
export SHOAL_DATA

.PHONY: help setup demo demo-stop test chaos check format bench weights docs clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## Make .venv with everything in it.

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup ## Run everything on 1,797 scanned digits. KEEP=1 leaves it running.
	$(BIN)/shoal demo $(if $(KEEP),--keep)

demo-stop: setup ## End what `make demo KEEP=1` left running.
	$(BIN)/shoal demo --stop

test: setup ## Run all tests, against a real Kafka and a real Valkey.
	$(BIN)/pytest

chaos: setup ## Kill and fail everything for long: 300 rounds of crashes, and the disk at every write.
	SHOAL_CHAOS_ROUNDS=300 SHOAL_DISK_TIMES=0 $(BIN)/pytest -s tests/chaos tests/disk

check: setup ## Lint and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## Format the code and mend what the linter can.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Run every benchmark; each ends with one line of JSON.
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

weights: setup ## Train the shipped weights anew from $(SHOAL_DATA) (about half an hour).
	$(BIN)/python -m models.training.shipped

docs: setup ## Write the table of settings in the README and docs/metrics.md anew.
	$(BIN)/python -m worker.reference

clean: ## Remove what `make setup` made.
	rm -rf $(VENV) *.egg-info build
