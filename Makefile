# EMER Workbench. `make help` lists what there is; `make run` and `make test` need nothing but Python 3.11+.
PORT ?= 8000
HOST ?= 127.0.0.1
GROUP ?= all
VENV := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help set-up run test bench shown lint clean reset

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

set-up: ## environment, front-end files, translations
	@scripts/set-up

run: set-up ## the workbench at http://127.0.0.1:8000 (PORT=…), until Ctrl-C
	@exec $(VENV)/python -m annotator.embedded.supervisor --host $(HOST) --port $(PORT)

test: ## all tests, timed; GROUP=install|lint|unit|services|kill|browser|learning runs one
	@exec scripts/test $(GROUP)

bench: set-up ## measure, into benchmarks/results.json
	@exec $(VENV)/python -m benchmarks

shown: set-up ## the long demonstrations: ablations, learning, consumers' own loaders
	@$(VENV)/python -m benchmarks.shown
	@$(VENV)/python -m benchmarks.shown_prelabel
	@exec $(VENV)/python -m benchmarks.learning --out build/learning

lint: set-up ## ruff, mypy, import-linter
	@exec scripts/test lint

clean: ## remove what can be made again; never var/
	rm -rf .venv node_modules static/vendor static/*/bundles build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -path ./var -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
	find locale -name '*.mo' -delete

reset: set-up ## delete all data, after a backup and the word `delete`
	@exec $(VENV)/python -m annotator.embedded.reset
