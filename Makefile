# Everything a person or a build server does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Which family the demo runs on: mariadb or mysql.
FLAVOUR ?= mariadb
# Passed to pytest by `make test`, e.g. `make test ARGS="-k switchover"`. Files are spread over two workers, and the
# tests of one file stay together, because they share servers.
ARGS ?= -n 2 --dist loadfile

.PHONY: help demo test conformance check deps mysql docs clean

help:  ## Show this list
	@echo "make TARGET, on Debian or Ubuntu, as root or with sudo:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## A cluster, load, kill -9 of the primary, and proof that nothing is lost (FLAVOUR=mariadb or mysql)
	@tools/setup.sh ops $(FLAVOUR)
	@.venv/bin/replclus demo --flavour $(FLAVOUR)

test:  ## The whole test suite, on both database families
	@tools/setup.sh dev mariadb mysql
	@.venv/bin/python -m pytest $(ARGS)

conformance:  ## The test suites of PyMySQL, SQLAlchemy and Django on a cluster, compared with plain PyMySQL
	@tools/setup.sh dev mariadb mysql
	@.venv/bin/python -m pytest -s $(ARGS) tests/conformance

check:  ## Lint, types, import rules and unit tests: what to run before every commit, under a minute
	@tools/setup.sh dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m pytest -q -n 2 tests/unit tests/scenarios

deps:  ## Install what demo and test need: Python environment, MariaDB, MySQL
	@tools/setup.sh dev mariadb mysql

mysql:  ## Put a MySQL server into .servers/mysql/, from Debian's packages
	@tools/setup.sh mysql

docs:  ## Write the generated pages of docs/ anew
	@tools/setup.sh dev
	.venv/bin/python -m tools.docs

clean:  ## Remove what was built and installed here (.venv, .servers, caches)
	rm -rf .venv .servers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find replclus tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
