# The front door. Every verb first makes the environment when it is missing or older than its pins.
#   make repro PROFILE=smoke      make embed STUDIES=my_studies REPORTS=reports.csv OUT=result

PROFILE ?= demo
ARGS ?=
UV_VERSION := 0.13.9
export DVC_NO_ANALYTICS := 1

# An active conda environment (not its base) is used as it is; otherwise .venv is made here.
ifneq ($(and $(CONDA_PREFIX),$(filter-out base,$(CONDA_DEFAULT_ENV))),)
PREFIX := $(CONDA_PREFIX)
CONDA := yes
else
PREFIX := $(CURDIR)/.venv
CONDA :=
endif
BIN := $(PREFIX)/bin
PY := $(BIN)/python
STAMP := $(PREFIX)/.cmr-stamp
# dvc.yaml says `python`: this one comes first.
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env repro experiments test lab report embed deidentify verify lint lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

env: $(STAMP)  ## make or refresh the environment (.venv, or the active conda environment)

# Looks for the first Python from 3.11 to 3.13, so that an old `python3` does not end the story.
$(STAMP): requirements.lock pyproject.toml
ifeq ($(CONDA),)
	@test -x "$(PY)" || { \
	  for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo "Python 3.11, 3.12 or 3.13 is wanted; found: $$(python3 --version 2>&1). Name one with: make PYTHON=/path/to/python" >&2; exit 1; fi; \
	  echo "Making .venv with $$found (about 7.3 GB on disk with PyTorch; some minutes on the first run)"; \
	  "$$found" -m venv .venv; }
	@"$(PY)" -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@"$(BIN)/uv" pip sync --compile-bytecode --python "$(PY)" --require-hashes requirements.lock
else
	@"$(PY)" -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@"$(BIN)/uv" pip install --compile-bytecode --python "$(PY)" --require-hashes -r requirements.lock
endif
	@"$(BIN)/uv" pip install --python "$(PY)" --quiet --no-deps --no-build-isolation -e .
	@touch "$(STAMP)"

repro: env  ## run the pipeline: PROFILE=demo (here) or smoke, paper, clinic (in a copy)
ifeq ($(PROFILE),demo)
	"$(BIN)/dvc" repro $(ARGS)
else
	"$(PY)" -m tools.workspace $(PROFILE) $(ARGS)
endif

experiments: env  ## baselines, controls, more seeds and ablations, after `make repro` (hours; goes on where it stopped)
	cd experiments && "$(BIN)/dvc" repro $(ARGS)

test: lint  ## lint, floors, file hygiene, then all tests that need no GPU and no hours
	"$(PY)" -m pytest -m "not slow and not gpu" --durations=20 $(ARGS)

lint: env  ## style, import floors, notebooks and files
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/lint-imports"
	"$(PY)" -m tools.hygiene

lab: env  ## JupyterLab; saving a notebook strips its outputs
	"$(BIN)/jupyter" lab --config=jupyter_server_config.py $(ARGS)

report: env  ## one offline site of the results: figures, tables, notebooks, lessons (ARGS=--quick: lessons not run)
	"$(PY)" -m tools.report $(ARGS)

embed: env  ## embed your own studies: STUDIES=folder OUT=folder [REPORTS=csv]
	@test -n "$(STUDIES)" -a -n "$(OUT)" || { echo "Say which: make embed STUDIES=folder OUT=folder [REPORTS=reports.csv]" >&2; exit 2; }
	"$(PY)" -m tools.embed "$(STUDIES)" "$(OUT)" $(if $(REPORTS),--reports "$(REPORTS)") $(ARGS)

deidentify: env  ## shareable DICOM of your own studies: STUDIES=folder OUT=new folder
	@test -n "$(STUDIES)" -a -n "$(OUT)" || { echo "Say which: make deidentify STUDIES=folder OUT=folder" >&2; exit 2; }
	"$(PY)" -m tools.deidentify "$(STUDIES)" "$(OUT)" $(ARGS)

verify: env  ## hash everything again; compare metrics with the committed ones
	"$(PY)" -m tools.verify

lock: env  ## resolve pyproject.toml into requirements.lock again (needs the network)
	"$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-header $(ARGS) pyproject.toml -o requirements.lock
	@if grep -nE '^(--|-i |-f )|^[^#]*://' requirements.lock; then echo "requirements.lock must not name an index or an address" >&2; exit 1; fi

clean:  ## remove what tools left behind; keeps .venv, data, outputs, .ws and DVC's cache
	rm -rf outputs/.run .pytest_cache .ruff_cache .import_linter_cache build
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.ws/*' -prune -exec rm -rf {} +
