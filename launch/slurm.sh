#!/usr/bin/env bash
# A Slurm cluster. On the login node: sets up .venv once, which the nodes share, and submits a job, with --array one of many
# equal tasks: of a grid, each takes the points that no other holds. What is before -- is for sbatch.
# ./launch/slurm.sh local|gpu [SBATCH OPTIONS] -- [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]
# ./launch/slurm.sh gpu --array=1-4 --gres=gpu:1 --cpus-per-task=16 --time=12:00:00 -- --config=configs/widths.py
set -eu
source "$(dirname "$0")/environment.sh"
usage="./launch/slurm.sh local|gpu [SBATCH OPTIONS] -- [FLAGS OF THE MAIN JOB]"
machine=${1:-}
case $machine in
    local | gpu) ;;
    *) fail "the first word is '$machine'; it must be local or gpu: $usage." ;;
esac
shift
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
done
[ $# -gt 0 ] || fail "-- is missing: $usage."
shift
command -v sbatch >/dev/null || fail "there is no sbatch here; submit on a login node of a Slurm cluster."
environment "$machine" # for gpu too, though the login node may have none
mkdir -p runs # Slurm makes no directory for its logs
# SIGTERM comes 5 minutes before the time limit too: a job longer than it goes on in its next turn.
exec sbatch --job-name=clusterlm_jax --requeue --signal=TERM@300 --open-mode=append --chdir="$PWD" \
    --output=runs/slurm-%j.out ${options[@]+"${options[@]}"} launch/slurm_task.sh "$machine" "$@"
