# Everything that a contributor or an operator of the demo runs. `make help` explains.
#
# Needs git, make and Python 3.11 or newer; the rest is fetched into .venv and .cache, nothing is installed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-stop test test-fast lint sanity molecule bench build docs clean

# Any Python does to start with: tools/env.py looks for the best one.
PYTHON ?= $(shell command -v python3 || command -v python3.13 || command -v python3.12 || command -v python3.11 || echo python3)
VENV_PYTHON := .venv/bin/python

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make the virtual environment, unpack nginx and redis-server, link the collection
	@$(PYTHON) tools/env.py main >/dev/null
	@$(PYTHON) tools/debs.py nginx redis

demo: setup ## two acts on this machine: a cutover that ends in GO, and one that is rolled back
	@$(VENV_PYTHON) demo/run.py

demo-stop: ## end everything that `make demo` started
	@$(PYTHON) tools/env.py main >/dev/null
	@$(VENV_PYTHON) demo/run.py stop

test: ## everything: linters, sanity, all tests on two releases of ansible-core, Molecule, the artefact
	@$(PYTHON) tools/suite.py

test-fast: ## the inner loop, in less than a minute: unit tests
	@$(PYTHON) tools/suite.py fast

lint: ## ruff, mypy --strict, ansible-lint (production), changelog
	@$(PYTHON) tools/suite.py lint

sanity: ## ansible-test sanity on both releases of ansible-core, without an ignore file
	@$(PYTHON) tools/suite.py sanity

molecule: ## every Molecule scenario, in a Docker engine of the project's own
	@$(PYTHON) tools/suite.py molecule

bench: ## the benchmarks; results in reports/bench.json
	@$(PYTHON) tools/env.py main --with lint >/dev/null
	@$(PYTHON) tools/debs.py nginx redis load
	@$(VENV_PYTHON) tests/bench/run.py

build: ## the Galaxy artefact, in dist/
	@$(PYTHON) tools/suite.py build

docs: ## write the variable tables of the role READMEs, and check the documentation of modules
	@$(PYTHON) tools/env.py main --with lint >/dev/null
	@$(VENV_PYTHON) tools/docs.py

clean: ## end what runs from here, and remove all that was fetched, built or written
	@if [ -x $(VENV_PYTHON) ] && [ -f demo/run.py ] && [ -d .demo ]; then $(VENV_PYTHON) demo/run.py stop || true; fi
	@if [ -d .cache/docker ]; then $(PYTHON) tools/docker_engine.py stop; fi
	rm -rf .venv .cache .demo .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache dist reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
