# `make demo` and `make test` are all that a newcomer needs; both set up what they need, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.shoal-installed
HELM_VERSION := v3.19.0
HELM := .tools/helm-$(HELM_VERSION)
SHOAL_DATA ?= ../shared/data
export SHOAL_DATA
PROMETHEUS := .tools/prometheus/usr/bin/prometheus
REDIS := .tools/redis/usr/bin/redis-server

.PHONY: help setup tools demo demo-stop test chaos check format bench weights docs image dashboards prometheus redis clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## Make .venv with everything in it.

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

# Some minutes the first time, seconds with Go's cache. Without helm the chart's tests are skipped.
tools: $(if $(shell command -v go),$(HELM)) ## Install helm into .tools, with which the chart is tested.

$(HELM):
	rm -f .tools/helm*
	GOBIN=$(CURDIR)/.tools go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
	mv .tools/helm $@
	ln -sf $(notdir $@) .tools/helm

demo: setup ## Run everything on 1,797 scanned digits. KEEP=1 leaves it running.
	$(BIN)/shoal demo $(if $(KEEP),--keep)

demo-stop: setup ## End what `make demo KEEP=1` left running.
	$(BIN)/shoal demo --stop

# Two at a time: most of the time they wait for servers. In the order of their folders: pytest-xdist's
# own leaves files of one long test for the end, where nothing runs beside them.
test: setup ## Run all tests, against a real Kafka and a real Valkey.
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

chaos: setup ## Kill and fail everything for long: 300 rounds of crashes, disk and power at every write, damage everywhere.
	SHOAL_CHAOS_ROUNDS=300 SHOAL_DISK_TIMES=0 SHOAL_POWER_TIMES=0 SHOAL_DAMAGE_MORE=20 $(BIN)/pytest -s tests/chaos tests/disk \
		tests/index/test_damage.py tests/worker/test_damage.py

check: setup ## Lint and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## Format the code and mend what the linter can.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Run every benchmark; each ends with one line of JSON.
	@for file in $$(grep -l __main__ benchmarks/*.py); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

weights: setup ## Train the shipped weights anew from $(SHOAL_DATA) (about half an hour).
	$(BIN)/python -m models.training.shipped

docs: setup ## Write the tables of the README, docs/metrics.md and the chart anew.
	$(BIN)/python -m worker.reference
	$(BIN)/python helm/reference.py

image: ## Build the image without Docker and run the demo in it (root, debootstrap, buildah, half an hour).
	tests/image/build.sh

dashboards: setup prometheus ## Draw the dashboards as pictures, from a demo that Prometheus scraped.
	$(BIN)/python docs/images/render_dashboards.py

prometheus: ## Fetch Debian's Prometheus into .tools, if the machine has none; installs nothing.
	@command -v prometheus promtool >/dev/null || $(MAKE) --no-print-directory $(PROMETHEUS)

$(PROMETHEUS):
	mkdir -p .tools/prometheus
	cd .tools/prometheus && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; }
	cd .tools/prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb

redis: ## Fetch Debian's Redis, which has TLS, into .tools, if the machine has none; installs nothing.
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory $(REDIS)

REDIS_PACKAGES := redis-server redis-tools libjemalloc2 liblzf1
$(REDIS):
	mkdir -p .tools/redis
	cd .tools/redis && { apt-get download $(REDIS_PACKAGES) || { apt-get update && apt-get download $(REDIS_PACKAGES); }; }
	cd .tools/redis && for package in *.deb; do dpkg-deb -x "$$package" . && rm "$$package"; done

clean: ## Remove what `make setup` made.
	rm -rf $(VENV) .tools *.egg-info build
