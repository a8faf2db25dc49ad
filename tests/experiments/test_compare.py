"""The command line that puts any runs of one experiment on one page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterlm_jax.experiments import compare
from tests.report.work_directories import metric_records, write_metrics

NAMES = ("narrow", "wide")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs of the main experiment, trained and not analysed."""
    for name in NAMES:
        write(tmp_path / name)
    return tmp_path


def write(workdir: Path, experiment: str = "emergence") -> Path:
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps({"experiment": experiment}))
    write_metrics(workdir, metric_records())
    return workdir


def refused(capsys: pytest.CaptureFixture, *arguments: Path | str) -> str:
    assert compare.main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.startswith("clusterlm_jax: ") and printed.err.count("\n") == 1
    return printed.err


def test_any_runs_of_one_experiment_can_be_compared(root: Path, capsys: pytest.CaptureFixture) -> None:
    into = root / "out"
    into.mkdir()
    (into / "report.html").write_text("an older comparison")
    assert compare.main([*(str(root / name) for name in NAMES), f"--into={into}"]) == 0
    assert capsys.readouterr().out == f"The comparison is at {into / 'report.html'}\n"
    html = (into / "report.html").read_text()
    assert all(f"<dt>{name}</dt><dd>8 of 8 epochs, seed 0</dd>" in html for name in NAMES)
    assert (into / "figures" / "figure_training.png").exists()


def test_a_missing_directory_is_told_and_nothing_is_written(root: Path, capsys: pytest.CaptureFixture) -> None:
    sentence = refused(capsys, root / "none", root / "wide", f"--into={root / 'out'}")
    assert sentence == f"clusterlm_jax: There is no work directory {root / 'none'}.\n"
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "There is no work directory {}."),
        ({}, "There is no work directory {}."),
        ({"experiment": "others"}, "There is no work directory {}."),
        ({"experiment": ["emergence"]}, "There is no work directory {}."),
        ({"experiment": "emergence", "grid": ["seeds"]}, "{} holds a grid; only runs can be compared"),
    ],
)
def test_a_directory_that_is_no_run_is_told(
    root: Path, capsys: pytest.CaptureFixture, config: dict | None, sentence: str
) -> None:
    (root / "other").mkdir()
    if config is not None:
        (root / "other" / "config.json").write_text(json.dumps(config))
    assert sentence.format(root / "other") in refused(capsys, root / "other", root / "wide", f"--into={root / 'out'}")
    assert not (root / "out").exists()


def test_a_url_is_no_directory(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert "DIR is 's3://bucket/run'; it must be on a disk" in refused(
        capsys, "s3://bucket/run", f"--into={root / 'out'}"
    )
    assert "--into is 'gs://b/out'; it must be on a disk" in refused(capsys, root / "wide", "--into=gs://b/out")


@pytest.mark.parametrize("into", NAMES)
def test_the_page_of_a_run_is_never_overwritten(root: Path, capsys: pytest.CaptureFixture, into: str) -> None:
    """Neither of one that is compared nor of another."""
    (root / into / "report.html").write_text("its own")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    sentence = refused(capsys, root / "wide", f"--into={root / into}")
    assert f"--into is {root / into}, a work directory with a page of its own; it must be another" in sentence
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("into", ["file", "file/out"])
def test_where_nothing_can_be_written_is_told(root: Path, capsys: pytest.CaptureFixture, into: str) -> None:
    (root / "file").write_text("kept")
    assert f"{root / into} cannot be written" in refused(capsys, root / "wide", f"--into={root / into}")
    assert (root / "file").read_text() == "kept"


def test_runs_of_two_experiments_cannot_be_compared(root: Path, capsys: pytest.CaptureFixture) -> None:
    write(root / "starts", "pretraining")
    sentence = refused(capsys, root / "wide", root / "starts", f"--into={root / 'out'}")
    assert "Only runs of one experiment can be compared" in sentence
    assert f"{root / 'wide'} is emergence, {root / 'starts'} is pretraining" in sentence
    assert not (root / "out").exists()


def test_runs_of_one_name_are_told_apart_by_their_paths(root: Path) -> None:
    again = write(root / "other" / "wide")
    html = compare.compare([root / "wide", again], root / "out").read_text()
    assert f"<dt>{root / 'wide'}</dt>" in html and f"<dt>{again}</dt>" in html


def test_where_to_write_must_be_said(root: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main([str(root / "wide")])
    assert ended.value.code == 2 and "--into" in capsys.readouterr().err
