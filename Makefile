# GNU make 3.81 or later, git and Python 3.10 or later; the rest goes into .venv on first use.

## make TARGET [VARIABLE=VALUE ...]
##   REPO  the fork's clone; without it, the embedded sandbox
##   TAG   upstream release, such as v1.76.5; TO: version to write (bump-version)
##   ARGS  more options, split at spaces: ARGS="--dry --help"
#
# Of this project's own targets: FORK, a clone to measure (bench) or to replay upgrades in (replay);
# CASES, a JSON file of upgrades and how people resolved them (replay); PYTHON, what .venv is made
# with.
PYTHON ?= python3

# A value from outside is text. $(value) keeps make from expanding it, and recipes use it only as a
# quoted shell variable. Only ARGS is not quoted: the shell splits it, and set -f prevents globbing.
override REPO := $(value REPO)
override TAG := $(value TAG)
override TO := $(value TO)
override ARGS := $(value ARGS)
override FORK := $(value FORK)
override CASES := $(value CASES)
export REPO TAG TO ARGS FORK CASES
# Recipes do not pass them on: a make that a task or a test runs has variables of its own.
unexport MAKEFLAGS MFLAGS MAKEOVERRIDES
run := set -f; env -u REPO -u TAG -u TO -u ARGS -u FORK -u CASES -u MAKELEVEL

bin := .venv/bin
# If PYTHON is given, .venv is created again unless that interpreter created it.
made := .venv/made$(if $(filter file,$(origin PYTHON)),,-by-$(subst /,-,$(firstword $(PYTHON))))
pytest := $(bin)/pytest -n auto --dist worksteal
pip := $(bin)/pip install --quiet --disable-pip-version-check
compile := $(bin)/uv pip compile --quiet --universal --fork-strategy fewest --generate-hashes \
	--python-version 3.10 --custom-compile-command "make lock"
invoke = $(run) $(bin)/invoke $(if $(REPO),,sandbox --quiet) $@ --repo="$${REPO:-.sandbox/litellm}"
tag = $${TAG:+--tag="$$TAG"}
to = $${TO:+--to="$$TO"}

.PHONY: help setup status next forecast upgrade-carto resolve-conflicts verify release doctor \
	sync-main bump-version report guide sandbox tour fork.init fork.adopt fork.config fork.heal \
	fork.inventory branch.start branch.pr branch.recover ci.guard ci.images \
	install-dev test test-unit test-integration test-slow test-all campaign coverage mutants lint format check docs \
	bench replay picture lock clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

##
## An upgrade, from setup to release
setup: .venv/run ## prepare a clone: remotes and git's settings
	@$(invoke) $$ARGS

status: .venv/run ## print the state of the fork and the next command
	@$(invoke) $$ARGS

next: .venv/run ## print the one command to type next, and why
	@$(invoke) $$ARGS

forecast: .venv/run ## print what an upgrade would do, and touch nothing
	@$(invoke) $(tag) $$ARGS

upgrade-carto: .venv/run ## upgrade the production branch to a stable release
	@$(invoke) $(tag) $$ARGS

resolve-conflicts: .venv/run ## decide the conflicts of a merge in progress
	@$(invoke) $$ARGS

verify: .venv/run ## account for every change of both sides after a merge
	@$(invoke) $(tag) $$ARGS

release: .venv/run ## release origin's production branch
	@$(invoke) $$ARGS

##
## Around it
doctor: .venv/run ## check the fork, and print how to fix what is wrong
	@$(invoke) $$ARGS

sync-main: .venv/run ## update the mirror branch from upstream
	@$(invoke) $$ARGS

bump-version: .venv/run ## set the version in every place that states it
	@$(invoke) $(tag) $(to) $$ARGS

report: .venv/run ## write a page for reviewing a merge, as HTML
	@$(invoke) $(tag) $$ARGS

guide: .venv/run ## print the fork's procedures and rules as Markdown
	@$(invoke) $$ARGS

sandbox: .venv/run ## build a small fork to try the other tasks on
	@$(run) $(bin)/invoke sandbox $$ARGS

tour: .venv/run ## run a whole upgrade and its release in a sandbox of its own
	@$(run) $(bin)/invoke sandbox --tour --path=.sandbox/tour $$ARGS

fork.init: .venv/run ## write the policy of a fork, from what its clone shows
	@$(invoke) $$ARGS

fork.adopt: .venv/run ## add the files that these tasks need to the fork
	@$(invoke) $$ARGS

fork.config: .venv/run ## print the policy, and where each value comes from
	@$(invoke) $$ARGS

fork.heal: .venv/run ## record the ancestry of a sync that a squash lost
	@$(invoke) $$ARGS

fork.inventory: .venv/run ## list drift, what upstream absorbed, and the features
	@$(invoke) $$ARGS

branch.start: .venv/run ## create a branch for a change, from production
	@$(invoke) $$ARGS

branch.pr: .venv/run ## open a pull request for the branch checked out
	@$(invoke) $$ARGS

branch.recover: .venv/run ## put the commits of a detached HEAD on a branch
	@$(invoke) $$ARGS

ci.guard: .venv/run ## check what would get into the production branch
	@$(invoke) $$ARGS

ci.images: .venv/run ## print the image names; build the image if asked
	@$(invoke) $$ARGS

##
## This project, explained in CONTRIBUTING.md
install-dev: .venv/dev ## install the development tools

test: .venv/dev ## run the tests, in some five minutes
	@$(run) $(pytest) -m "not slow" $$ARGS

test-unit: .venv/dev ## run only those of pure functions
	@$(run) $(pytest) -m "not slow" tests/unit $$ARGS

test-integration: .venv/dev ## run only those of whole tasks
	@$(run) $(pytest) -m "not slow" tests/procedures $$ARGS

test-slow: .venv/dev ## run the slow ones: kills, documents, the wheel, long random runs
	@$(run) $(pytest) -m "slow or hypothesis" --hypothesis-profile=long $$ARGS

test-all: test test-slow ## run all tests

campaign: .venv/dev ## kill 300 runs; each must end as usual when run again (ARGS="--kills=9 --seed=7")
	@$(run) $(pytest) -m slow tests/procedures/test_kills.py --kills=300 $$ARGS

coverage: .venv-mutants/made ## measure the branch coverage of scripts/ by the tests
	@$(run) .venv-mutants/bin/python tests/covering.py $$ARGS

mutants: .venv-mutants/made ## after `coverage`: do the tests notice changes? (ARGS="--number 9 tags")
	@$(run) .venv-mutants/bin/python tests/mutants.py $$ARGS

lint: .venv/dev ## ruff and mypy
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

format: .venv/dev ## let ruff rewrite what it can
	$(bin)/ruff format
	$(bin)/ruff check --fix

check: lint ## lint, workflows, layering, generated documentation
	$(bin)/zizmor --quiet --offline --persona=pedantic .github
	$(bin)/check-jsonschema --builtin-schema vendor.github-workflows $(wildcard .github/workflows/*.y*ml)
	$(bin)/shellcheck --severity=warning .ci/* scripts/carto_fork/fork/hooks/*
	PYTHONPATH=scripts $(bin)/lint-imports --no-logo --no-cache
	$(bin)/pytest --quiet tests/unit/test_layering.py tests/unit/test_words.py tests/unit/test_docs.py tests/unit/test_adoption.py

docs: .venv/dev ## rewrite the generated blocks of the documentation
	PYTHONPATH=scripts $(bin)/python -m carto_fork.adopt.documents

bench: .venv/dev ## measure, on FORK if given
	@PYTHONPATH=scripts $(bin)/python tests/bench.py $${FORK:+"$$FORK"}

replay: .venv/dev ## replay the upgrades of CASES in FORK, and compare decisions with people's
	@$(run) $(bin)/python tests/replay.py "$$FORK" "$$CASES" $$ARGS

picture: .venv/dev ## redraw docs/upgrade.svg, and docs/report.png (needs chromium and chromium-driver)
	@$(run) $(bin)/pytest -q -m slow tests/procedures/test_docs_commands.py -k README --picture
	@PYTHONPATH=scripts:tests $(bin)/python tests/picture.py

lock: $(made) ## pin requirements/, and what forks install, from pyproject.toml (ARGS=--upgrade)
	@$(pip) uv==0.13.9
	@set -f; $(compile) --group sandbox pyproject.toml --output-file requirements/run.txt $$ARGS
	@set -f; $(compile) pyproject.toml --output-file requirements/dev.txt --group dev \
		--constraint requirements/run.txt $$ARGS
	@set -f; $(compile) --no-deps --output-file requirements/mutants.txt --group mutants $$ARGS
	@$(compile) --no-annotate --group build pyproject.toml --constraint requirements/dev.txt \
		--output-file scripts/carto_fork/adopt/adopted/dependencies.txt

help: ## print this (the default)
	@awk -F ':.*## ' '/^##/ {print substr($$0, 4); own = /project/} !/^[a-z.-]+:.*## / {next} \
		own {printf "%s%s", n % 7 ? " " : "  ", $$1 (++n % 7 ? "" : "\n")} \
		!own {printf "  %-18s %s\n", $$1, $$2} END {print ""}' Makefile

clean: ## remove .venv, .sandbox, caches and builds
	rm -rf .venv .sandbox build dist scripts/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .venv-mutants .coverage-data .real-files*
	find . -name __pycache__ -prune -exec rm -rf {} +

# dev.txt includes run.txt. The stamp comes last, so that a failed install is repeated.
.venv/run .venv/dev: .venv/%: requirements/%.txt $(made)
	@echo "installing $< into .venv (once)"
	@$(pip) --require-hashes --requirement $< && touch $@ .venv/run

.venv-mutants/made: requirements/dev.txt requirements/mutants.txt $(made)
	@echo "installing requirements/dev.txt and mutants.txt into .venv-mutants (once)"
	@$(PYTHON) -m venv --clear .venv-mutants
	@$(subst .venv,.venv-mutants,$(pip)) --require-hashes --requirement requirements/dev.txt
	@$(subst .venv,.venv-mutants,$(pip)) --require-hashes --no-deps --requirement requirements/mutants.txt
	@touch $@

$(made):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo '$(PYTHON) is not Python 3.10 or later: type the same command with, say, PYTHON=python3.12.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) lacks its venv module: type `sudo apt-get install $(notdir $(PYTHON))-venv`, then the same command.' >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv && touch .venv/made $@
