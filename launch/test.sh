#!/usr/bin/env bash
# Lint, format and tests on the CPU, one process a core: sets up .venv once.  ./launch/test.sh [PYTEST ARGUMENTS]
set -eu
source "$(dirname "$0")/environment.sh"
environment test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
JAX_PLATFORMS=cpu exec .venv/bin/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder "$@"
