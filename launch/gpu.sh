#!/usr/bin/env bash
# One NVIDIA GPU (an A100, say): sets up .venv once, then runs configs/synthetic.py in runs/synthetic unless the flags say otherwise.
# ./launch/gpu.sh [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]
set -eu
source "$(dirname "$0")/environment.sh"
# Before 2 GB of CUDA packages are installed for nothing.
nvidia-smi >/dev/null 2>&1 || fail "nvidia-smi does not answer, so there is no NVIDIA GPU to use here; ./launch/local.sh runs on the CPU."
environment gpu
main_job cuda configs/synthetic.py runs/synthetic "$@"
