# One obvious target per task. Needs Python 3.11+, make and a C library; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test soak bench bench-full check generate drift format lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## make .venv with every dependency, pinned by hash

$(READY): tests/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pdvault needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	@echo "setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup  ## play one order, end to end, on embedded PostgreSQL and OpenBao
	@$(BIN)/pdvault demo

# Many tests wait, so that two cores have room for three; in order, so that the long ones begin early.
test: setup check  ## every check and every test, under 15 minutes on two cores
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not soak"

soak: setup  ## the long runs and long faults
	$(BIN)/python -m pytest -q -m soak

# RECORD=1 keeps the result in docs/; BUSY=1 says that the machine had other work.
BENCH := $(BIN)/python -m tests.bench $(if $(RECORD),--record) $(if $(BUSY),--busy)

bench: setup  ## measure against the floor, Transit and COPY, about five minutes (RECORD=1 keeps it)
	@$(BENCH)

bench-full: setup  ## the same for longer, with 10^7 tokens and a soak, about forty minutes
	@$(BENCH) --full

check: setup drift  ## lint, types, generated code, policies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pdvault policy check policies
	$(BIN)/pdvault policy test policies

generate: setup  ## generated code from protos/
	$(BIN)/python .ci/generate.py

drift: setup
	$(BIN)/python .ci/generate.py --check

format: setup  ## format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup  ## pin all dependencies anew, with hashes (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --extra embedded --extra dev pyproject.toml -o tests/requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra embedded -c tests/requirements.lock pyproject.toml -o deploy/requirements.lock

clean:  ## remove what the targets above made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
