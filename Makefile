# make setup   .venv with the core, all plugins and the tools; every package pinned, with a checksum
# make demo    setup, then the main job, offline: a voice, a synthetic one or RECORDINGS="a.wav b.wav", enrolled and tuned
# make check   setup, then lint and the fast tests: what to run before every commit; three minutes
# make test    setup, then lint and every test
# make regress setup, then cheap recipes are measured again and compared with recipes/expected; some minutes
# make lint    ruff, ruff format, strict mypy, and import-linter for the floors of packages
# make docs    setup, then the site, strictly, into site/; open site/index.html
# make audit   setup, then the licenses of all packages, and their known vulnerabilities; the latter asks an online database

# The first of these that runs and is of a version that torch and the plugins support.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$python && break; \
	done)
BIN := .venv/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
PACKAGES := vczoo $(wildcard plugins/*/vczoo_*) $(wildcard docs/examples/*/vczoo_*)
DEMO ?= vczoo-demo-$(shell date +%Y%m%d-%H%M%S)

# Without kept bytecode every process that the tests start would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo check test regress lint docs audit constraints

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml $(PLUGINS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; give its path: make $(MAKECMDGOALS) PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/installer.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/installer.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock \
		--build-constraint requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . \
		$(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
	touch $@

demo: setup
	HF_HUB_OFFLINE=1 $(BIN)/vczoo demo $(RECORDINGS) --out $(DEMO)

# One worker a core, each with one thread: small networks gain nothing from two.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: lint
	$(PYTEST)

test: lint
	$(PYTEST) -m ""

regress: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality.regress

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What each package's license may be is in pyproject.toml. pip-audit asks the database of osv.dev.
audit: setup
	$(BIN)/pip-licenses --order license
	$(BIN)/pip-audit --local --skip-editable --vulnerability-service osv

# Pin again, to the newest releases that fit together. requirements.lock has the pins and the checksums; constraints.txt
# is the same pins, for `pip install --constraint`, which refuses checksums next to a local folder.
constraints: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-emit-package vczoo --group dev --output-file requirements.lock \
		$(PLUGINS) requirements.in
	sed -e '/^    --hash=/d' -e 's/ \\$$//' requirements.lock > constraints.txt
