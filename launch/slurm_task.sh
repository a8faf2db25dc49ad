#!/usr/bin/env bash
# What a node of the cluster runs, in the checkout: launch/slurm.sh submits it.
set -eu
machine=$1
shift
# From Slurm 22.05 on, srun no longer takes this over from sbatch.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# Of an array's last task, SLURM_JOB_ID is the number of the whole array.
job=${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
code=0
# By srun, because Slurm sends its signals to steps and not to this shell.
srun "./launch/$machine.sh" "$@" || code=$?
case $code in
    # A SIGTERM, and the main job says "start me again" (75), or the signal came before it could. After scancel nothing comes
    # here: this shell is ended too.
    75 | 143) scontrol requeue "${job:-$SLURM_JOB_ID}" ;;
esac
exit $code
