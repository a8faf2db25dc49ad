"""What is submitted to Slurm, and which endings of a job put it back into the queue."""

from __future__ import annotations

import shlex

import pytest

FLAGS = ["--config=configs/widths.py", "--config.seeds=(0, 1)"]


def test_options_go_to_sbatch_and_flags_to_the_main_job(checkout):
    options = ["--array=1-4", "--comment=two words", "--time=60"]
    result = checkout.run(f"./launch/slurm.sh gpu {shlex.join(options)} -- {shlex.join(FLAGS)}")
    assert result.returncode == 0, result.stderr
    submitted = checkout.calls("sbatch")[0]
    assert {"--requeue", "--signal=TERM@300", "--output=runs/slurm-%j.out", f"--chdir={checkout.path}"} < set(submitted)
    assert submitted[-7:] == [*options, "launch/slurm_task.sh", "gpu", *FLAGS]
    assert (checkout.path / "runs").is_dir()
    assert checkout.main_jobs() == [FLAGS]
    assert (checkout.cloud / "platform").read_text() == "JAX_PLATFORMS=cuda\n"
    programs = [words[0] for words in checkout.calls()]
    assert (
        programs.index("nvidia-smi") > programs.index("sbatch") > programs.index("python")
    )  # installed on the login node


def test_the_step_gets_the_processors_of_the_job(checkout):
    checkout.run("./launch/slurm.sh local --cpus-per-task=4 -- --config=x")
    assert (checkout.cloud / "processors").read_text() == "4\n"


@pytest.mark.parametrize("code", [0, 1, 2, 75, 130, 143])
def test_what_sigterm_ended_is_started_again(checkout, code):
    (checkout.cloud / "code").write_text(str(code))
    assert checkout.run("./launch/slurm.sh local --").returncode == code
    assert checkout.calls("scontrol") == [["scontrol", "requeue", "7"]] * (code in (75, 143))


def test_a_task_of_an_array_does_not_start_the_others_again(checkout):
    """Of the last task, Slurm's job id is the array's: with it, tasks that are in full run would be ended."""
    (checkout.cloud / "code").write_text("75")
    checkout.run("./launch/slurm.sh local --array=1-4 --", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="4")
    assert checkout.calls("scontrol") == [["scontrol", "requeue", "7_4"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "the first word is ''; it must be local or gpu"),
        ("--array=1-2 -- --config=x", "the first word is '--array=1-2'; it must be local or gpu"),
        ("gpu --array=1-2 --config=x", "-- is missing"),
    ],
)
def test_a_wrong_line_is_refused_before_anything_is_installed(checkout, words, told):
    result = checkout.run(f"./launch/slurm.sh {words}")
    assert result.returncode == 1
    assert result.stderr.startswith(f"launch: {told}")
    assert result.stderr.count("\n") == 1
    assert not checkout.calls()
