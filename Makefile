# Two commands do everything: `make serve` and `make test`. `make help` lists the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check

# The first interpreter of 3.10–3.12 that is there and starts (a pyenv shim can be there and not start).
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { command -v $$p; break; }; done)

ARGS ?=

# pyproject.toml resolves for Linux x86-64 below Python 3.13 only, so these markers say nothing.
PLAIN_MARKERS := s/ and platform_machine == 'x86_64' and sys_platform == 'linux'//; s/ ; python_full_version < '3.13'$$//; s/ and python_full_version < '3.13'$$//

.PHONY: help serve test lint format typecheck unit postgres browser test-thorough screenshots tools bench bench-sizing bench-jobs soak bench-training bench-upscaler bench-studio dashboards prove-images sbom constraints install clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## Install, then serve the shipped models on http://localhost:8080 (ARGS="--port 9000" …)
	@exec $(BIN)/ganserve up $(ARGS)

test: lint typecheck unit ## Everything the project checks

install: $(VENV)/.dev ## Install everything: service, training, tests

lint: $(VENV)/.dev ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Rewrite to style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.dev ## Types
	$(BIN)/mypy

# One process more than cores, since tests wait for processes they start as much as they compute; each file in
# one process, for what its tests share; each process computes with one thread.
unit: $(VENV)/.dev ## The tests alone (ARGS="-k png" …)
	-@.ci/tools $(BIN)/python
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# The tests of batch jobs start a PostgreSQL of their own, from the binaries of the machine.
postgres: ## Install the PostgreSQL that the tests start, where there is none (Debian and Ubuntu, as root)
	@command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "The tests need PostgreSQL's initdb and postgres, on the PATH or in /usr/lib/postgresql; as root on Debian or Ubuntu, make postgres installs them" >&2; exit 1; }; \
	  echo "Installing PostgreSQL (once)…"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends postgresql; }

# The tests of the studio drive a real browser.
browser: ## Install the Chromium that the tests drive, where there is none (Debian, as root)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "The tests of the studio need Chromium on the PATH; as root on Debian, make browser installs it" >&2; exit 1; }; \
	  echo "Installing Chromium (once)…"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium; }

test-thorough: $(VENV)/.dev browser ## What make test has no time for: more of the studio in a browser, a short soak (ARGS=tests/e2e: those)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m thorough $(ARGS)

screenshots: $(VENV)/.dev browser ## Draw the studio's tabs anew, into docs/studio (ARGS="generate --out /tmp": those, there)
	$(BIN)/python -m tests.e2e.screenshots $(ARGS)

# The tests of deploy/ run these; without them those tests fail and say so, all others still count.
tools: $(VENV)/.dev ## Fetch helm, kubectl, Prometheus and Alertmanager into .tools/bin, for the tests of deploy/
	@.ci/tools $(BIN)/python

# No container engine is needed for either. The first is a build of the real Dockerfile in chroots, minutes long.
prove-images: ## Carry out the Dockerfile's steps and run the images read-only (Debian, as root; ARGS=--trainer: all)
	@command -v debootstrap >/dev/null || { echo "make prove-images needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
	python3 deploy/docker/prove.py $(ARGS)

sbom: $(BIN)/python ## What the images hold, with licences: sbom/*.cdx.json (ARGS="gateway trainer": those)
	@deploy/docker/sbom $(BIN)/python $(ARGS)

# LitServe is measured beside ganserve, and needed for nothing else.
bench: $(VENV)/.dev ## Throughput and latency of every call, beside raw gRPC, LitServe and plain FastAPI
	$(PIP) install --quiet --constraint constraints.txt litserve==0.2.19
	$(BIN)/python -m tests.benchmarks.serving --repository model_repository $(ARGS)

bench-sizing: $(VENV)/.dev ## Images/s, CPU and memory of each model by batch size and instances, for choosing machines
	$(BIN)/python -m tests.benchmarks.sizing $(ARGS)

bench-jobs: $(VENV)/.dev ## Batch jobs beside raw gRPC; what an item costs, its size in the database, growth
	$(BIN)/python -m tests.benchmarks.jobs $(ARGS)

# `make test` has a smaller one.
chaos: $(VENV)/.dev ## A batch job of 2,000 images while all it needs is killed, one every 5 s
	CHAOS_ITEMS=2000 CHAOS_SECONDS=5 $(BIN)/pytest -s tests/integration/test_jobs_chaos.py $(ARGS)

soak: $(VENV)/.dev ## Everything at once for ten minutes (ARGS="--minutes 120"): pixels, memory, latency
	$(BIN)/python -m tests.benchmarks.soak $(ARGS)

bench-training: $(VENV)/.dev ## Images/s of each family's step (ARGS="--stylegan PATH --pix2pix PATH": beside theirs)
	$(BIN)/python -m tests.benchmarks.training $(ARGS)

bench-upscaler: $(VENV)/.dev ## An imported upscaler beside ncnn and PyTorch (ARGS="…/realesrgan-x4plus.param")
	$(PIP) install --quiet --constraint constraints.txt ncnn==1.0.20261020
	$(BIN)/python -m tests.benchmarks.imported_upscaler $(ARGS)

bench-studio: $(VENV)/.dev browser ## How soon the studio shows a picture when its slider moves, in Chromium
	$(BIN)/python -m tests.benchmarks.studio_slider $(ARGS)

dashboards: $(VENV)/.dev ## Write dashboards, alert rules and the runbook from deploy/grafana
	$(BIN)/python -m deploy.grafana $(ARGS)

constraints: $(VENV)/.dev ## Renew constraints.txt from pyproject.toml
	$(PIP) install --quiet uv
	{ grep '^#' constraints.txt; printf 'torch==2.13.0\n' \
	  | $(BIN)/uv pip compile --universal --python-version 3.10 --all-extras --no-annotate --no-header \
	    --quiet --upgrade --constraints - pyproject.toml \
	  | grep -vE '^(cuda-|nvidia-[^p]|triton==)' | sed "$(PLAIN_MARKERS)"; } > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## Remove what the other targets made (data/ and runs/ stay)
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ganserve needs Python 3.10, 3.11 or 3.12 and found none; install one (Debian: apt-get install python3 python3-venv) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "ganserve needs Python 3.10, 3.11 or 3.12; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp is written only after a complete install, so an interrupted one is taken up again.
$(VENV)/.serve: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the service (once)…"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[serve,cpu,mnn,video]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing service, training and test tools (once)…"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[serve,cpu,mnn,video,c2pa,tracing,train,dev]'
	@touch $@ $(VENV)/.serve
