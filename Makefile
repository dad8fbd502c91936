# ReCiSt. `make` alone lists what can be made; all that is needed is Python 3.11 or newer and make.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help demo test check audit bench evaluate install install-dev clean

# The first interpreter that really runs (a shim may only pretend) and is new enough.
find_python = for p in "$$PYTHON" .venv/bin/python python3.13 python3.12 python3.11 python3 python; do \
	[ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && break; p=; done; \
	if [ -z "$$p" ]; then echo "ReCiSt needs Python 3.11 or newer and found none. Install it (Debian, Ubuntu:" \
	"apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python make $@" >&2; exit 1; fi

PY := .venv/bin/python

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## the whole product on an embedded cluster: PORT=8000, DEMO_FAULTS=off, Ctrl-C stops it
	@exec $(PY) manage.py demo

test: install-dev ## all tests, on real PostgreSQL, Valkey, sandbox and browser (ARGS="-k name" chooses)
	$(PY) -m pytest -n auto --maxprocesses 4 $(ARGS)
	TEST_DATABASE=sqlite $(PY) -m pytest -m both_databases $(ARGS)

check: install-dev ## lint, types, import layers, migrations, resource definitions, roles, deployment settings, docs
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py crds --check
	$(PY) manage.py causes --check
	$(PY) manage.py queries --check
	$(PY) manage.py rbac --check
	$(PY) manage.py check --fail-level WARNING
	env ENV_FILE=/dev/null $$(sed -n 's/^\([A-Z_]*=.*\)/\1/p' tests/wiring/production.env) $(PY) manage.py check --deploy --fail-level WARNING
	$(PY) -m pytest -q tests/wiring/test_docs.py

audit: install-dev ## ask for advisories about the locked dependencies (says so where there is no network)
	$(PY) -m recist_web.audit_dependencies

bench: install-dev ## measure how fast it is and what it costs; writes docs/benchmarks.md (ARGS="--only SECTION")
	@mkdir -p docs/bench; exec $(PY) manage.py bench --json docs/bench/results.json --markdown docs/benchmarks.md $(ARGS)

evaluate: install-dev ## run the scenarios through the whole product and report how well it heals (ARGS="--only NAME")
	@mkdir -p docs/evaluation; exec $(PY) manage.py evaluate --json docs/evaluation/results.json.gz --html docs/evaluation/report.html --markdown docs/evaluation-results.md $(ARGS)

install:
	@$(find_python); exec "$$p" recist_web/install.py

install-dev:
	@$(find_python); exec "$$p" recist_web/install.py --dev

clean: ## remove what was installed and all state (.venv, .venv-tools, var)
	rm -rf .venv .venv-tools .venv.lock var
