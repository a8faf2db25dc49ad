"""The page of the three starts: it holds everything, and what was not run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlm_jax.experiments.pretraining.figures import FIGURES
from clusterlm_jax.experiments.pretraining.page import compare, start_words, write
from clusterlm_jax.experiments.pretraining.starts import read_starts
from clusterlm_jax.experiments.pretraining.tables import TABLES
from clusterlm_jax.report.claims import SAME
from clusterlm_jax.report.spec import ReportSpec
from tests.experiments.pretraining.directories import metric_records, table, write_starts

PAGE_ONLY = ReportSpec(formats=())


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    workdir = write_starts(tmp_path_factory.mktemp("starts") / "run")
    assert write(workdir, ReportSpec(formats=("png",))) == workdir / "report.html"
    return workdir


def test_before_anything_is_trained_the_page_says_so(tmp_path):
    workdir = write_starts(tmp_path / "run", [], [], seeds=(0,))
    html = write(workdir, PAGE_ONLY).read_text()
    assert html.count("Not run:") >= len(FIGURES) + len(TABLES) - 1, "table 2 needs the data alone"


def test_the_page_holds_everything(reported):
    html = (reported / "report.html").read_text()
    assert html.count('src="data:image/png;base64,') == len(FIGURES)
    assert {path.stem for path in (reported / "figures").iterdir()} == {entry.name for entry in FIGURES}
    assert {path.stem for path in (reported / "tables").iterdir()} == {entry.name for entry in TABLES}
    beginning = html.split("<h2>Figures")[0]
    assert "not run" not in beginning.lower()
    for heading in ("Figure 5a: ", "Figure 5b: ", "(ours)"):
        assert heading in html
    assert "best validation accuracy 0.950, 0.5 at epoch 4.000 ± 1.000, 0.9 at epoch" in html


def test_one_seed_needs_no_mean(tmp_path):
    workdir = write_starts(tmp_path / "run", seeds=(0,))
    html = write(workdir, PAGE_ONLY).read_text()
    assert "<th>mean</th>" not in html and " ± " not in html


def test_the_page_says_where_fine_tuning_began_with_the_untrained_model(tmp_path):
    starts = read_starts(write_starts(tmp_path / "run", chosen=lambda start, seed: 4 * (start != "task_id")))
    assert start_words(starts, "task_id").endswith("than the untrained model, which was fine-tuned (seed 0, 1, 2)")
    assert "untrained" not in start_words(starts, "instruction") + start_words(starts, "none")


def test_what_has_not_ended_has_no_epoch_in_the_summary(tmp_path):
    records = [r for r in metric_records(seeds=(0,)) if r["run"] != "none/finetune" or r["epoch"] <= 8]
    starts = read_starts(write_starts(tmp_path / "run", records, seeds=(0,)))
    assert start_words(starts, "none") == "best validation accuracy not run, 0.5 at epoch 6, 0.9 not run"


def test_several_runs_side_by_side(reported, tmp_path):
    """A grid's page: what each point has come to, and why one has nothing yet."""
    write_starts(tmp_path / "begun", [], [])
    points = {"width=16": reported, "width=32": tmp_path / "begun", "width=64": tmp_path / "nowhere"}
    html = compare(points, tmp_path, PAGE_ONLY).read_text()
    assert html.count('src="data:image/png;base64,') == 1
    assert "not run: no fine-tuning has begun" in html and "There is no work directory" in html
    rows = {(r["of fine-tuning"], r["start"]): r for r in table(tmp_path, "table_starts")}
    half = rows["epochs to validation accuracy 0.5", "no pre-training"]
    assert (half["width=16"], half["width=16, standard deviation"]) == ("7.0", "1.0")
    assert {row["width=16"] for row in table(tmp_path, "table_claims")} == {SAME}
