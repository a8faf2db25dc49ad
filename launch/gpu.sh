#!/usr/bin/env bash
# One NVIDIA GPU (an A100, say): sets up .venv once, then runs configs/synthetic.py in runs/synthetic unless the flags say otherwise.
# ./launch/gpu.sh [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]
set -eu
source "$(dirname "$0")/environment.sh"
environment gpu -r requirements.txt "jax[cuda12]" # the version is that of requirements.txt
main_job cuda configs/synthetic.py runs/synthetic "$@"
