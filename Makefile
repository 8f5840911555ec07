# All a newcomer needs: python3 (3.11 to 3.13), make and a package registry. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo page docs test long proofs soak bench judges figures pictures fresh constraints clean \
	venv-demo venv-page venv-docs venv-test

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

venv-demo:
	@$(PYTHON) scripts/environment.py demo

venv-page:
	@$(PYTHON) scripts/environment.py page

venv-docs:
	@$(PYTHON) scripts/environment.py docs

venv-test:
	@$(PYTHON) scripts/environment.py test

demo: venv-demo ## a small network, end to end, on this machine
	@$(BIN)/bellwire demo

page: venv-page ## the same network with its live page in a browser, until Ctrl-C
	@$(BIN)/bellwire up three_node_repeater --page

docs: venv-docs ## the documentation site, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: venv-test ## style, import floors, types, then all quick tests; stops at the first failure
	@$(BIN)/python scripts/checks.py test

long: venv-test ## the tests that take seconds each, live labs among them (tests/long_tests.txt)
	@$(BIN)/python scripts/checks.py long

proofs: venv-test ## the long statistical tests; results into bench/results/
	@$(BIN)/python scripts/checks.py proofs

soak: venv-test ## 10,000 networks under faults and all planted faults; results into bench/results/
	@$(BIN)/bellwire soak --mutants --out bench/results/soak_mutants.json
	@$(BIN)/bellwire soak --seeds 10000 --out bench/results/soak.json
	@$(BIN)/python scripts/render_figures.py

bench: venv-test ## every benchmark in bench/, results into bench/results/
	@$(BIN)/python scripts/benchmarks.py
	@$(BIN)/python scripts/render_figures.py

judges: venv-test ## programs that nobody in this project wrote, against our ends; says which did not run
	@$(BIN)/python scripts/judges.py run

pictures: venv-test ## screenshots of the live page, taken by the judge in Chromium, into docs/pictures
	@$(BIN)/python -m pytest -q -m judge tests/judges/test_live_page_in_chromium.py
	@$(BIN)/python scripts/pictures.py

figures: venv-test ## write the tables of README.md from bench/results/
	@$(BIN)/python scripts/render_figures.py

fresh: ## clone HEAD to a temporary folder; make test and make demo there
	@bash scripts/fresh_clone.sh

constraints: ## pin the newest set that installs on 3.11, 3.12 and 3.13 (needs the three interpreters)
	@bash scripts/constraints.sh

clean: ## remove everything that can be made again (run directories stay)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
