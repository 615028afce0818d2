# Everything a person or a build server does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Which family the demo runs on: mariadb or mysql.
FLAVOUR ?= mariadb
# Passed to pytest by `make test`, e.g. `make test ARGS="-k switchover"`. Files are spread over two workers, and the
# tests of one file stay together, because they share servers.
ARGS ?= -n 2 --dist loadfile
# How many inputs `make fuzz` tries, and which ones.
INPUTS ?= 1000000
SEED ?= 1
# Which faults `make faults` plays: all, or codes with commas between them.
FAULT ?= all
# ours: the watchdog can kill each server through its host, whatever the network does.
HOSTS ?=
# How many random programs `make campaign-sessions` runs.
SESSIONS ?= 1000
# How many worlds `make sim` plays.
SEEDS ?= 20000

.PHONY: help demo test conformance check cover mutation sim fuzz deps mysql docs clean campaign-failovers campaign-stale campaign-pool campaign-forks \
  campaign-sessions faults campaign-partitions campaign-noise

help:  ## Show this list
	@echo "make TARGET, on Debian or Ubuntu, as root or with sudo:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## A cluster, load, kill -9 of the primary, and proof that nothing is lost (FLAVOUR=mariadb or mysql)
	@tools/setup.sh ops $(FLAVOUR)
	@.venv/bin/replclus demo --flavour $(FLAVOUR)

test:  ## The whole test suite, on both database families
	@tools/setup.sh dev mariadb mariadb-tools mysql lab
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

faults:  ## Every fault of the lab, or FAULT=N5, on both families or FLAVOUR=mysql; needs root (docs/guarantees.md)
	@tools/setup.sh dev mariadb mysql lab
	@FAULTS=$(FAULT) HOSTS=$(HOSTS) .venv/bin/python -m pytest -q -s tests/faults/test_faults.py \
	  $(if $(findstring command,$(origin FLAVOUR)),-m $(FLAVOUR))

campaign-partitions campaign-noise:
	@tools/setup.sh dev mariadb mysql lab
	@.venv/bin/python -m tests.faults.campaign $(@:campaign-%=%)

campaign-partitions:  ## 100 random partitions of each family: does anybody accept twice? (1 h)
campaign-noise:  ## Minutes of noise that is no failure: is anybody promoted? Both families (30 min)

cover:  ## Every branch of replclus/failover is reached by tests that need no server
	@tools/setup.sh dev
	.venv/bin/python -m coverage run -m pytest -q -p no:xdist tests/scenarios tests/unit/test_failover*.py
	.venv/bin/python -m coverage report

mutation:  ## Which changes of replclus/failover no test notices (15 min); the score is printed at the end
	@tools/setup.sh dev
	.venv/bin/python -m tools.mutation

sim:  ## SEEDS=20000 simulated clusters in which everything breaks (SEEDS=1000000 for a night); prints what replays a violation
	@tools/setup.sh dev
	.venv/bin/python -m tests.simulation --seeds $(SEEDS)

fuzz:  ## A million mutated statements through the classifier (INPUTS=1000000, SEED=1), and its growth with their length
	@tools/setup.sh dev
	.venv/bin/python -m tests.fuzz.routing $(INPUTS) $(SEED)

campaign-failovers campaign-stale campaign-pool campaign-forks:
	@tools/setup.sh dev mariadb mysql
	@.venv/bin/python -m tests.load.campaign $(@:campaign-%=%)

campaign-failovers:  ## Three kills and a freeze of the primary under 16 threads, audited, both families (4 min)
campaign-stale:  ## 100,000 reads with replicas held back: is one ever stale? Both families (4 min)
campaign-pool:  ## 50 threads for 5 minutes, a failover each 20 s: does anything leak? Both families (11 min)
campaign-forks:  ## Processes forked off a program under load, both families (2 min)

campaign-sessions:  ## SESSIONS=1000 random programs: do they meet the same as on one server? Both families (15 min)
	@tools/setup.sh dev mariadb mysql
	@SESSIONS=$(SESSIONS) .venv/bin/python -m pytest -q --timeout 7200 tests/integration/test_dbapi_differential.py

deps:  ## Install what demo and test need: Python environment, MariaDB, MySQL, and the tools of the tests
	@tools/setup.sh dev mariadb mariadb-tools mysql lab

mysql:  ## Put a MySQL server into .servers/mysql/, from Debian's packages
	@tools/setup.sh mysql

docs:  ## Write the generated pages of docs/ anew
	@tools/setup.sh dev
	.venv/bin/python -m tools.docs

clean:  ## Remove what was built and installed here (.venv, .servers, caches)
	rm -rf .venv .servers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find replclus tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
