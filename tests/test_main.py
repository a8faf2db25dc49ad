"""Wrong command lines and damaged files: one clear sentence, exit code 2, no file changed."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterlm_jax import main
from tests.command_line import CONFIG, ROOT, command, environment, run

DATASET = "dataset/seed=0/dataset.npz"
NO_FIGURES = "--config.stages=('data', 'train', 'analyse')"


def fingerprint(directory: Path) -> dict[str, str]:
    """Every file with its content, except the lock, which has none."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "directory"
        for path in sorted(directory.rglob("*"))
        if path.name != ".lock"
    }


def refused(result, *words: str) -> None:
    assert result.returncode == 2, result.stderr
    sentence = result.stderr.strip()
    assert sentence.startswith("clusterlm_jax: ")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    for word in words:
        assert word in sentence, sentence


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that trained and analysed one epoch."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    result = run(workdir, NO_FIGURES, "--config.train.epochs=1", "--config.eval.jobs=('raw',)")
    assert result.returncode == 0, result.stderr
    return workdir


def told_by(capsys, *flags: str) -> str:
    """The sentence of a command line that is refused, in this process; of the main experiment, if it names no file."""
    names_none = not any(re.match("--?config(=|$)", flag) for flag in flags)
    assert main.main(["", *flags, *([f"--config={CONFIG}"] if names_none else [])]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.startswith("clusterlm_jax: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config.model.hiden_dim=32"], ["no --config.model.hiden_dim", "did you mean model.hidden_dim?"]),
        (["--config.modle.hidden_dim=32"], ["did you mean model.hidden_dim?"]),
        (["--workdir=gs://bucket/run"], ["--workdir is 'gs://bucket/run'; it must be on a disk of this machine"]),
        (["--confg=x"], ["confg"]),
        (["--config.model.hidden_dim=wide"], ["model.hidden_dim is 'wide'; it must be a whole number."]),
        (["--config.model.dropout=much"], ["model.dropout is 'much'; it must be a number."]),
        (["--config.model.heads=7"], ["model.heads is 7", "does not divide model.hidden_dim = 768"]),
        (["--config.model.positions=32"], ["needs 64 positions"]),
        (["--config.train.learning_rate=-1.0"], ["train.learning_rate is -1.0", "above 0"]),
        (["--config.train.batch_unit=token"], ["allowed: instance, instruction"]),
        (["--config.train.batch_size=100000"], ["train.batch_size is 100000"]),
        (["--config.data.mappings_per_task=30"], ["inputs are distinct"]),
        (["--config.data.validation_tasks=60"], ["data.validation_tasks is 60", "45 regular tasks"]),
        (["--config.eval.labels=('colour',)"], ["eval.labels", "allowed: task, distribution"]),
        (["--config.eval.backend=torch"], ["eval.backend is 'torch'", "allowed: sklearn, jax, auto"]),
        (["--config.stages=('tain',)"], ["config.stages", "data, train, analyse, report"]),
        (["--config.stages=('train',)"], ["'train' needs what 'data' leaves", "run 'data' first"]),
        (["--config.stages=('report',)"], ["'report' needs what 'data' leaves", "run 'data' first"]),
        (["--config.seeds=(1.5,)"], ["with the item 1.5; it must be a tuple of whole numbers."]),
        (["--config.seeds=(1, 1)"], ["config.seeds is (1, 1)", "each once"]),
        (["--config.grid=({'model.hiden_dim': [8]},)"], ["model.hiden_dim", "did you mean model.hidden_dim?"]),
        (["--config.grid=({'model.hidden_dim': [9]},)"], ["The point hidden_dim=9 of config.grid", "model.heads is 8"]),
        (["--config.grid={'model.hidden_dim': [8]}"], ["config.grid has the axis", "allowed: [{KEY: VALUE, ...}"]),
        (["--config.gird=({'model.hidden_dim': [8]},)"], ["no --config.gird", "did you mean grid?"]),
        (["--config.grid=({'model.hidden_dim': [8]},)", "--point=8"], ["--point is '8'", "the points: hidden_dim=8."]),
        (["--point=hidden_dim=8"], ["config.grid has the points: none."]),
        (["--config=configs/none.py"], ["no configuration file 'configs/none.py'"]),
        ([f"--config={CONFIG}:slow"], ["slow", "quick"]),
        (["hidden_dim=32"], ["What is 'hidden_dim=32'?"]),
        (["--config=a.py", "--config=b.py"], ["--config is given twice"]),
        (["--config", "a.py", "-config", "b.py"], ["--config is given twice"]),
        (["--config.train.epochs=3", "--config.train.epochs=4"], ["--config.train.epochs is given twice"]),
        (["--config="], ["--config has no value"]),
        (["--config"], ["--config has no value"]),
        (["--workdir="], ["--workdir has no value"]),
        ([f"--config={CONFIG}", "--distributed=2"], ["--distributed takes no value"]),
        (["--config.model.layers", "--workdir=a"], ["--config.model.layers has no value"]),
        (["--config.model.ffn_dim=x"], ["model.ffn_dim is 'x'; it must be a whole number or unset."]),
        (["--config.model.tied=7"], ["model.tied is '7'; it must be True or False."]),
        (["--config.eval.jobs=('raw', 3)"], ["with the item 3; it must be a tuple of texts."]),
        (["--config.model=3"], ["no --config.model: did you mean"]),
        (["--flagfile=flags"], ["no --flagfile; allowed: --config=FILE, --workdir=DIR"]),
        (["--help", "--config=none.py"], ["no configuration file 'none.py'"]),
    ],
    ids=lambda value: " ".join(value) if any(word.startswith("-") for word in value) else "",
)
def test_wrong_flags_are_told_in_a_sentence_before_anything_is_made(capsys, monkeypatch, tmp_path, flags, words):
    monkeypatch.chdir(tmp_path)
    told = told_by(capsys, *flags)
    for word in words:
        assert word in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags",
    [
        ["--config=FILE", "--config.train.epochs=3", "--config.model.tied=True"],
        ["--config", "FILE", "--config.train.epochs", "3", "--config.model.tied"],
        ["--config.model.tied", "-config.train.epochs=3", "-config", "FILE"],
        ["--config.train.epochs=3", "--workdir", "a=b", "--config=FILE"],
    ],
    ids=" ".join,
)
def test_flags_have_their_values_after_a_space_or_an_equals_sign_in_any_order(flags):
    given = main.parse(main.flags_of([flag.replace("FILE", f"{CONFIG}:quick") for flag in flags]))
    assert (given.train.epochs, given.model.tied, given.data.number_of_distributions > 0) == (3, True, True)


def test_a_work_directory_may_be_below_the_home(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    told = told_by(capsys, "--workdir=~/run", "--config.stages=('report',)")
    assert f"not in {tmp_path}/home/run:" in told
    assert not list(tmp_path.iterdir())


def test_a_missing_configuration_is_asked_for(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "clusterlm_jax.main"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert result.returncode == 2
    refused(result, "--config is missing")


def test_without_a_workdir_the_run_is_named_after_its_configuration(tmp_path):
    """`.venv/bin/python -m clusterlm_jax.main --config=configs/synthetic.py:quick`, and no more."""
    flags = "--config.stages=('data',)", f"--config={CONFIG}:quick"  # the file may come after the keys
    given = command(None, *flags, small=False)
    paths = environment() | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(given, cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / "synthetic-quick" / DATASET).exists()


def test_a_full_disk_is_reported_and_leaves_no_file_half_written(tmp_path):
    """No file may become larger than a kilobyte, so the first larger one fails as on a full disk."""
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *command(tmp_path / "run")]
    result = subprocess.run(limited, cwd=ROOT, env=environment(), capture_output=True, text=True)
    refused(result, "File too large")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_an_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(run(tmp_path / "file" / "run"), f"{tmp_path}/file/run cannot be written")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_work_directory_of_another_configuration(finished):
    before = fingerprint(finished)
    refused(run(finished, NO_FIGURES, "--config.train.epochs=1"), "belongs to another configuration", "eval.jobs")
    assert fingerprint(finished) == before


def rerun(workdir: Path, *flags: str):
    return run(workdir, *(flags or [NO_FIGURES]), "--config.train.epochs=1", "--config.eval.jobs=('raw',)")


def damaged(finished: Path, tmp_path: Path, *names: str, keep: float = 0.0) -> Path:
    """A copy of the run with files cut to a share of their length, or gone."""
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    for name in names:
        paths = [path for path in workdir.glob(name) if path.is_file()]
        assert paths, f"the run has no {name}"
        for path in paths:
            if keep:
                path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
            else:
                path.unlink()
    return workdir


def test_a_damaged_checkpoint_is_told_and_the_run_goes_on_from_the_one_before(finished, tmp_path):
    workdir = damaged(finished, tmp_path, "checkpoints/main/last/1/state/**/*", keep=0.5)
    result = rerun(workdir)
    assert result.returncode == 0, result.stderr
    (told,) = (line for line in result.stderr.splitlines() if line.startswith("clusterlm_jax: "))
    assert "checkpoints/main/last/1 cannot be read" in told
    assert told.endswith("it is deleted, and epoch 0 is the last one now.")
    assert "Traceback" not in result.stderr
    for name in ("metrics.jsonl", "scores.csv"):
        assert sorted((workdir / name).read_text().splitlines()) == sorted((finished / name).read_text().splitlines())


def test_a_deleted_dataset(finished, tmp_path):
    workdir = damaged(finished, tmp_path, DATASET)
    before = fingerprint(workdir)
    refused(rerun(workdir, "--config.stages=('train', 'analyse')"), "'train' needs what 'data' leaves")
    assert fingerprint(workdir) == before
    # With the data stage, the same dataset is made again.
    assert rerun(workdir).returncode == 0
    assert (workdir / DATASET).read_bytes() == (finished / DATASET).read_bytes()


def test_a_run_killed_between_the_dataset_and_its_facts(tmp_path):
    data = "--config.stages=('data',)"
    assert run(tmp_path / "run", data).returncode == 0
    facts, dataset = tmp_path / "run" / "run.json", tmp_path / "run" / DATASET
    known, written = facts.read_bytes(), dataset.stat().st_mtime_ns
    facts.unlink()
    assert run(tmp_path / "run", data).returncode == 0
    assert facts.read_bytes() == known
    assert dataset.stat().st_mtime_ns == written


def test_a_damaged_dataset(finished, tmp_path):
    workdir = damaged(finished, tmp_path, DATASET, keep=0.5)
    before = fingerprint(workdir)
    refused(rerun(workdir), "dataset.npz cannot be read")
    assert fingerprint(workdir) == before


def test_damaged_metrics(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    text = (workdir / "metrics.jsonl").read_text()
    (workdir / "metrics.jsonl").write_text("{" + text)
    refused(rerun(workdir), "metrics.jsonl is damaged (line 1")
    assert (workdir / "metrics.jsonl").read_text() == "{" + text


def test_a_foreign_table_of_scores(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    (workdir / "scores.csv").write_text("a,b\n1,2\n")
    refused(rerun(workdir), "scores.csv is not a table of scores")
    assert (workdir / "scores.csv").read_text() == "a,b\n1,2\n"


def test_a_second_process_in_the_same_directory(finished, tmp_path):
    from clusterlm_jax.workdir import WorkDir

    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    before = fingerprint(workdir)
    with WorkDir(workdir).locked():
        refused(rerun(workdir), "Another process is working in")
    assert fingerprint(workdir) == before


def test_divergence_is_reported_in_one_sentence(tmp_path):
    result = run(tmp_path / "run", "--config.train.learning_rate=1e30", "--config.train.max_gradient_norm=1e30")
    assert result.returncode == 2
    assert "not finite at step" in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr
