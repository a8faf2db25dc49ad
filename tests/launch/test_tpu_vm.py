"""A Cloud TPU from create to delete, with a gcloud that has a directory for a machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import time

import pytest

from tests.launch.machines import PYTHON

MACHINE = {"TPU_NAME": "mine", "TPU_ZONE": "z", "TPU_TYPE": "v4-8", "TPU_VERSION": "base"}
RUNS = "runs/synthetic"
STEPS = ("create", "push", "setup", "run", f"fetch --workdir={RUNS}", "delete")
needs_flock = pytest.mark.skipif(
    shutil.which("flock") is None, reason="what runs on the machine needs flock of util-linux"
)


def tpu_vm(checkout, words, **variables):
    return checkout.run(f"./launch/tpu_vm.sh {words}", **MACHINE | variables)


def done(checkout, *steps):
    for step in steps:
        result = tpu_vm(checkout, step)
        assert result.returncode == 0, result.stderr


@needs_flock
def test_a_machine_is_made_used_and_deleted(checkout):
    flags = ["--config=configs/seeds.py:quick", "--config.seeds=(0, 1)"]
    done(checkout, "create --spot --project=p", "push", "setup", f"run {shlex.join(flags)}")
    assert checkout.main_jobs() == [flags]
    assert (checkout.cloud / "platform").read_text() == "JAX_PLATFORMS=tpu\n"
    assert not (checkout.path / "runs").exists()
    done(checkout, f"fetch --workdir={RUNS}", "delete")
    assert (checkout.path / RUNS / "rows").read_text() == "row\n"
    assert not (checkout.cloud / "tpu-vm").exists()
    created, *others = checkout.calls("gcloud")
    expected = "compute tpus tpu-vm create mine --version=base --accelerator-type=v4-8 --labels=launcher=clusterlm_jax"
    assert created[1:] == [*expected.split(), "--spot", "--zone=z", "--project=p"]
    for words in others:
        worker = "--worker=0" if "run.tar.gz" in str(words) else "--worker=all"  # one host writes the results
        assert words[4] in ("describe", "delete") or worker in words, words


def test_a_dry_run_prints_the_commands_and_runs_none(checkout):
    steps = ("create --queued", *STEPS)
    printed = [tpu_vm(checkout, f"{step} --dry-run").stdout.splitlines() for step in steps]
    assert not checkout.calls("gcloud")
    assert [len(lines) for lines in printed] == [2, 1, 2, 1, 1, 2, 4]
    done(checkout, "create")
    assert printed[1] == [shlex.join(checkout.calls("gcloud")[0])]


@needs_flock
def test_the_job_outlives_the_connection_and_is_not_begun_twice(checkout):
    done(checkout, "create", "push", "setup")
    (checkout.cloud / "hold").touch()
    follower = checkout.start("./launch/tpu_vm.sh run", **MACHINE)
    rows = checkout.cloud / "home" / "clusterlm_jax" / RUNS / "rows"
    wait_until(rows.exists)
    os.killpg(follower.pid, signal.SIGKILL)
    follower.communicate(timeout=30)
    (checkout.cloud / "code").write_text("75")
    again = checkout.start("./launch/tpu_vm.sh run", **MACHINE)
    wait_until(lambda: len([words for words in checkout.calls("gcloud") if words[4] == "ssh"]) == 4)
    (checkout.cloud / "hold").unlink()
    out, err = again.communicate(timeout=30)
    assert len(checkout.main_jobs()) == 1
    assert again.returncode == 75, err
    assert "the job's last line" in out
    assert "mine still bills" in err
    (checkout.cloud / "code").unlink()
    done(checkout, "run")  # it has ended, so this one begins another, which goes on
    assert len(checkout.main_jobs()) == 2


def wait_until(ready):
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end, "the moment never came"
        time.sleep(0.02)


@pytest.mark.parametrize("queued", ["", " --queued"])
def test_what_create_left_when_it_failed_is_named_and_deleted(checkout, queued):
    failed = tpu_vm(checkout, f"create{queued}", FAIL="create")
    assert failed.returncode == 1
    told = failed.stderr.splitlines()[-1]
    assert "it bills: ./launch/tpu_vm.sh delete --name=mine --zone=z" in told
    assert "bills from now on" not in failed.stderr
    kind = "queued-resources" if queued else "tpu-vm"
    assert (checkout.cloud / kind).exists()
    done(checkout, told[told.index("delete") :])
    assert not (checkout.cloud / kind).exists()


def test_another_ones_machine_is_not_deleted(checkout):
    (checkout.cloud / "tpu-vm").write_text("\n")  # without the label
    result = tpu_vm(checkout, "delete")
    assert result.returncode == 1
    assert "no machine mine in z that create made; nothing is deleted" in result.stderr
    assert all(words[4] == "describe" for words in checkout.calls("gcloud"))


def test_a_delete_that_fails_says_that_it_still_bills(checkout):
    done(checkout, "create")
    result = tpu_vm(checkout, "delete", FAIL="delete")
    assert (result.returncode, "it may still bill" in result.stderr) == (1, True)


@pytest.mark.parametrize("states", [["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"], ["FAILED"]])
def test_create_waits_in_the_queue(checkout, states):
    checkout.stand_in("sleep", "")
    (checkout.cloud / "states").write_text("\n".join(states) + "\n")
    result = tpu_vm(checkout, "create --queued")
    assert result.returncode == (states == ["FAILED"])
    assert re.findall("mine is ([A-Z_]+) in the queue", result.stderr) == states
    assert checkout.calls("sleep") == [["sleep", "60"]] * (len(states) - 1)
    assert ("Google could not give mine" in result.stderr) == (states == ["FAILED"])


def test_a_run_goes_on_on_another_machine_and_nothing_there_is_overwritten(checkout):
    rows = checkout.path / RUNS / "rows"
    rows.parent.mkdir(parents=True)
    rows.write_text("ours\n")
    done(checkout, "create", f"push --workdir={RUNS}")
    there = checkout.cloud / "home" / "clusterlm_jax" / RUNS / "rows"
    assert there.read_text() == "ours\n"
    there.write_text("further\n")
    result = tpu_vm(checkout, f"push --workdir={RUNS}")
    assert result.returncode == 1
    assert "has this work directory already, and keeps it" in result.stderr
    assert there.read_text() == "further\n"
    assert not (there.parents[2] / ".venv").exists()


def test_fetch_keeps_what_was_here(checkout):
    done(checkout, "create", "push")
    here, there = checkout.path / RUNS, checkout.cloud / "home" / "clusterlm_jax" / RUNS
    for directory, text in ((here, "old"), (there, "new")):
        directory.mkdir(parents=True)
        (directory / "rows").write_text(text)
    assert tpu_vm(checkout, f"fetch --workdir={RUNS}/", FAIL="scp").returncode
    assert [path.name for path in here.parent.iterdir()] == ["synthetic"]
    assert (here / "rows").read_text() == "old"
    done(checkout, f"fetch --workdir={RUNS}/")
    assert (here / "rows").read_text() == "new"
    assert (here.with_suffix(".before") / "rows").read_text() == "old"
    assert sorted(path.name for path in here.parent.iterdir()) == ["synthetic", "synthetic.before"]


def test_setup_installs_a_python_where_there_is_none_that_will_do(checkout):
    done(checkout, "create", "push")
    old = 'case "$*" in *version_info*) [ -e "$CLOUD/python3.11" ] || exit ;; esac'
    checkout.stand_in("python3", old + PYTHON)
    checkout.stand_in("sudo", 'case "$*" in *python3.11-venv) touch "$CLOUD/python3.11" ;; esac')
    done(checkout, "setup", "setup")
    assert [words[-1] for words in checkout.calls("sudo")] == ["update", "python3.11-venv"]
    assert all("DPkg::Lock::Timeout=600" in words for words in checkout.calls("sudo"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "the first word is ''; it must be create, push"),
        ("destroy", "the first word is 'destroy'; it must be create, push"),
        ("push --name=", "--name is missing; give --name=... or set TPU_NAME"),
        ("create --type=", "--type is missing"),
        ("create --version=", "--version is missing"),
        ("create --zonne=x", "what is --zonne=x?"),
        ("fetch", "--workdir is missing"),
        ("fetch --workdir=/etc", "it must be a directory inside the checkout"),
        ("push --workdir=../x", "it must be a directory inside the checkout"),
        ("push --workdir=runs/none", "there is no directory runs/none here"),
    ],
)
def test_a_wrong_line_is_refused_in_one_sentence_before_gcloud_is_called(checkout, words, told):
    result = tpu_vm(checkout, words)
    assert result.returncode == 1
    assert result.stderr.startswith("launch: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not checkout.calls("gcloud")
