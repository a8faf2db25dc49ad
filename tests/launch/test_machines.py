"""Every machine of the README's table has a command that works as it is written, and ends in the main job."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.launch.machines import ROOT

SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
TABLE = re.findall(r"^\| ([^|]+) \| `([^`|]+)`[^|]*\|", (ROOT / "README.md").read_text(), re.MULTILINE)
STEPS = re.search(r"```\n((?:export TPU_.*\n)+(?:\./launch/tpu_vm\.sh .*\n)+)```", (ROOT / "WORKSPACE.md").read_text())


def test_the_table_has_every_way_to_launch():
    commands = " ".join(command for _, command in TABLE)
    inner = {"environment.sh", "test.sh", "slurm_task.sh"}
    for way in {path.name for path in (ROOT / "launch").iterdir()} - inner:
        assert f"launch/{way}" in commands


@pytest.mark.parametrize(("machine", "command"), TABLE, ids=[machine for machine, _ in TABLE])
def test_each_command_of_the_table_ends_in_the_main_job(checkout, machine, command):
    if "tpu_vm.sh" in command:
        if shutil.which("flock") is None:
            pytest.skip("what runs on the machine needs flock of util-linux")
        assert "./launch/tpu_vm.sh run" in command
        command = STEPS[1]
    result = checkout.run(command)
    assert result.returncode == 0, result.stderr
    assert len(checkout.main_jobs()) == 1
    if command == STEPS[1]:
        assert (checkout.path / "runs" / "synthetic" / "rows").exists()
        assert not (checkout.cloud / "tpu-vm").exists()


def test_a_gpu_is_looked_for_before_anything_is_installed(checkout):
    checkout.stand_in("nvidia-smi", "exit 9")
    result = checkout.run("./launch/gpu.sh")
    assert result.returncode == 1
    assert result.stderr.startswith("launch: nvidia-smi does not answer")
    assert result.stderr.count("\n") == 1
    assert checkout.calls() == [["nvidia-smi"]]


@pytest.mark.parametrize(("script", "extra"), [("local", None), ("gpu", "jax[cuda12]"), ("tpu", "jax[tpu]")])
def test_packages_are_installed_once_and_again_when_the_requirements_change(checkout, script, extra):
    for _ in range(2):
        checkout.run(f"./launch/{script}.sh")
    installed = [words for words in checkout.calls("python") if words[1:3] == ["-m", "pip"]]
    assert len(installed) == 1
    assert extra is None or installed[0][-1] == extra
    (checkout.path / "requirements.txt").write_text("jax==0\n")
    checkout.run(f"./launch/{script}.sh")
    assert len([words for words in checkout.calls("python") if words[1:3] == ["-m", "pip"]]) == 2


def test_the_image_copies_what_is_there():
    sources = re.findall(r"^COPY (.+) \S+$", (ROOT / "launch" / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(sources).split():
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_have_no_slip_that_the_shell_or_shellcheck_knows(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        given = ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", script]
        found = subprocess.run(given, capture_output=True, text=True)
        assert not found.returncode, found.stdout
