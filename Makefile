# make setup   .venv with the core, all plugins and the tools, from pinned constraints
# make demo    setup, then the main job, offline: speech of synthetic voices, fine-tune, convert, enrol
# make test    setup, then lint and the whole test suite
# make lint    ruff, ruff format and strict mypy

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
PACKAGES := vczoo $(wildcard plugins/*/vczoo_*)
DEMO ?= vczoo-demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: setup demo test lint constraints

setup: .venv/.ready

.venv/.ready: constraints.txt pyproject.toml $(PLUGINS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
		--build-constraint constraints.txt --group dev --editable '.[demo]' \
		$(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
	touch $@

demo: setup
	HF_HUB_OFFLINE=1 $(BIN)/vczoo demo --out $(DEMO)

test: lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)

# Pin again, to the newest releases that fit together.
constraints: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-header \
		--no-annotate --no-emit-package vczoo --group dev --output-file constraints.txt $(PLUGINS) constraints.in
