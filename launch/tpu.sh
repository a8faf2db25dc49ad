#!/usr/bin/env bash
# One Cloud TPU VM: sets up .venv once, then runs configs/synthetic.py in runs/synthetic unless the flags say otherwise.
# ./launch/tpu.sh [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]
set -eu
source "$(dirname "$0")/environment.sh"
environment tpu
main_job tpu configs/synthetic.py runs/synthetic "$@"
