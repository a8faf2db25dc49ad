#!/usr/bin/env bash
# This machine's CPU: sets up .venv once, then runs configs/synthetic.py:quick in runs/quick unless the flags say otherwise.
# ./launch/local.sh [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]
set -eu
source "$(dirname "$0")/environment.sh"
environment local
main_job cpu configs/synthetic.py:quick runs/quick "$@"
