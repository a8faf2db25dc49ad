"""The report of the three starts: numbers equal the rows, each verdict is its rule's, what is not there is said."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.report import claims, pretraining_comparison
from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME
from clusterlm_jax.report.pretraining import write
from clusterlm_jax.report.pretraining_claims import CLAIMS
from clusterlm_jax.report.pretraining_figures import FIGURES
from clusterlm_jax.report.pretraining_tables import TABLES
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.starts import STARTS, read_starts
from tests.report.pretraining_directories import EPOCHS, SEEDS, like_the_paper, metric_records, score_rows, write_starts

PAGE_ONLY = ReportSpec(formats=())
WORDS = {words: start for start, words in STARTS.items()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    workdir = write_starts(tmp_path_factory.mktemp("starts") / "run")
    assert write(workdir, ReportSpec(formats=("png",))) == workdir / "report.html"
    return workdir


def table(workdir: Path, name: str) -> list[dict[str, str]]:
    with (workdir / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def verdicts(workdir: Path) -> list[str]:
    return [judgement.verdict for judgement in claims.judge(read_starts(workdir), CLAIMS)]


def accuracies(start: str, seed: int, accuracy=like_the_paper) -> np.ndarray:
    return np.array([accuracy(start, seed, epoch) for epoch in range(EPOCHS + 1)])


def test_epochs_and_accuracies_equal_the_rows(reported):
    rows = table(reported, "table_starts")
    seen = 0
    for row in rows:
        for seed in SEEDS:
            curve = accuracies(WORDS[row["start"]], seed)
            if found := re.fullmatch(r"epochs to validation accuracy (.*)", row["of fine-tuning"]):
                reached = np.flatnonzero(curve >= float(found[1]))
                expected = reached[0] if len(reached) else np.inf
            elif row["of fine-tuning"] == "best validation accuracy":
                expected = curve.max()
            elif row["of fine-tuning"] == "its epoch":
                expected = curve.argmax()
            else:
                continue
            assert float(row[f"seed {seed}"]) == pytest.approx(expected)
            seen += 1
    assert seen == 4 * 3 * 3
    never = {row["start"] for row in rows if row["seed 0"] == "inf"}
    assert never == {"instruction pre-training", "no pre-training"}, "they end below .9"
    last = {(row["of fine-tuning"], row["start"]): row["mean ± standard deviation"] for row in rows}
    assert last["epochs to validation accuracy 0.5", "task-ID pre-training"] == "4.000 ± 1.000"
    assert "| never |" in (reported / "tables" / "table_starts.md").read_text()


def test_instances_count_the_pretraining_up_to_its_chosen_epoch(reported):
    """12 instances a step and 50 steps an epoch of fine-tuning; 6 and 20 of pre-training, until epoch 4 or 6."""
    rows = {
        row["start"]: row
        for row in table(reported, "table_starts")
        if row["of fine-tuning"].startswith("thousand instances to 0.5")
    }
    before = {"task_id": 4 * 20 * 6, "instruction": 6 * 20 * 6, "none": 0}
    for words, start in WORDS.items():
        for seed in SEEDS:
            half = int(np.flatnonzero(accuracies(start, seed) >= 0.5)[0])
            assert float(rows[words][f"seed {seed}"]) == (half * 50 * 12 + before[start]) / 1000


def test_differences_are_paired_by_seed(reported):
    both = {(row["of fine-tuning"], row["difference"]): row for row in table(reported, "table_differences")}
    row = both["best validation accuracy", "task-ID pre-training less no pre-training"]
    each = [accuracies("task_id", seed).max() - accuracies("none", seed).max() for seed in SEEDS]
    assert [float(row[f"seed {seed}"]) for seed in SEEDS] == pytest.approx(each)
    mean, deviation = map(float, row["mean ± standard deviation"].split(" ± "))
    assert (mean, deviation) == (pytest.approx(np.mean(each), abs=5e-4), pytest.approx(np.std(each, ddof=1), abs=5e-4))
    row = both["epochs to validation accuracy 0.9", "task-ID pre-training less no pre-training"]
    assert {row[f"seed {seed}"] for seed in SEEDS} == {"only the first reached it"}
    row = both["epochs to validation accuracy 0.9", "instruction pre-training less no pre-training"]
    assert row["mean ± standard deviation"] == "neither reached it"


def test_the_chosen_epochs_are_the_runs_own(reported):
    rows = table(reported, "table_pretraining")
    chosen = {row["start"]: row["seed 1"] for row in rows if row["of pre-training"].startswith("epoch that")}
    assert chosen == {"task-ID pre-training": "4", "instruction pre-training": "6"}
    losses = {row["start"]: float(row["seed 1"]) for row in rows if "loss there" in row["of pre-training"]}
    assert losses == {"task-ID pre-training": pytest.approx(2.21), "instruction pre-training": pytest.approx(2.01)}


def test_claims_that_hold_and_claims_that_do_not(tmp_path):
    """The same curves under exchanged names turn every verdict about them."""
    turned = {"task_id": "none", "none": "task_id", "instruction": "instruction"}
    assert verdicts(write_starts(tmp_path / "as the paper")) == [SAME] * 4
    records = metric_records(lambda start, seed, epoch: like_the_paper(turned[start], seed, epoch))
    worse = write_starts(tmp_path / "turned", records, score_rows(rises=False))
    assert verdicts(worse) == [NOT_SEEN] * 4


def test_a_tie_is_not_faster_and_a_hair_is_not_higher(tmp_path):
    def tied(start: str, seed: int, epoch: int) -> float:
        return like_the_paper("none", seed, epoch) + 0.005 * (start == "task_id" and epoch == EPOCHS)

    assert verdicts(write_starts(tmp_path / "run", metric_records(tied)))[1:] == [NOT_SEEN] * 3


def test_seeds_that_disagree_are_mixed(tmp_path):
    def one_other(start: str, seed: int, epoch: int) -> float:
        return like_the_paper(
            {"task_id": "none", "none": "task_id"}.get(start, start) if seed == 1 else start, seed, epoch
        )

    judged = claims.judge(read_starts(write_starts(tmp_path / "run", metric_records(one_other))), CLAIMS)
    assert [judgement.verdict for judgement in judged] == [SAME, MIXED, MIXED, MIXED]
    assert judged[1].by_seed == {0: SAME, 1: NOT_SEEN, 2: SAME}


def test_what_has_not_ended_has_no_best_and_is_never_never(tmp_path):
    """A fine-tuning under way may yet come to .9; what it has reached, it has."""
    records = [r for r in metric_records() if r["run"] != "none/finetune" or r["epoch"] <= 8]
    workdir = write_starts(tmp_path / "run", records)
    assert verdicts(workdir) == [SAME, NOT_RUN, NOT_RUN, SAME]
    write(workdir, PAGE_ONLY)
    rows = {(r["of fine-tuning"], r["start"]): r for r in table(workdir, "table_starts")}
    assert rows["epochs to validation accuracy 0.9", "no pre-training"]["seed 0"] == ""
    assert rows["epochs to validation accuracy 0.5", "no pre-training"]["seed 0"] == "6"
    assert rows["best validation accuracy", "no pre-training"]["seed 0"] == ""


def test_before_anything_is_trained_the_page_says_so(tmp_path):
    workdir = write_starts(tmp_path / "run", [], [], seeds=(0,))
    html = write(workdir, PAGE_ONLY).read_text()
    assert html.count("Not run:") >= len(FIGURES) + len(TABLES) - 1, "table 2 needs the data alone"
    assert verdicts(workdir) == [NOT_RUN] * 4


def test_the_page_holds_everything(reported):
    html = (reported / "report.html").read_text()
    assert html.count('src="data:image/png;base64,') == len(FIGURES)
    assert {path.stem for path in (reported / "figures").iterdir()} == {entry.name for entry in FIGURES}
    assert {path.stem for path in (reported / "tables").iterdir()} == {entry.name for entry in TABLES}
    beginning = html.split("<h2>Figures")[0]
    assert "not run" not in beginning.replace("what was not run says so", "").replace("0 not run", "")
    for heading in ("Figure 5a: ", "Figure 5b: ", "(ours)"):
        assert heading in html
    assert "best validation accuracy 0.950, 0.5 at epoch 4.000 ± 1.000, 0.9 at epoch" in html


def test_one_seed_needs_no_mean(tmp_path):
    workdir = write_starts(tmp_path / "run", seeds=(0,))
    html = write(workdir, PAGE_ONLY).read_text()
    assert "mean ± standard deviation" not in html
    assert verdicts(workdir) == [SAME] * 4


def test_several_runs_side_by_side(reported, tmp_path):
    """A grid's page: what each point has come to, and why one has nothing yet."""
    write_starts(tmp_path / "begun", [], [])
    points = {"width=16": reported, "width=32": tmp_path / "begun", "width=64": tmp_path / "nowhere"}
    html = pretraining_comparison.write(points, tmp_path, PAGE_ONLY).read_text()
    assert html.count('src="data:image/png;base64,') == 1
    assert "not run: no fine-tuning has begun" in html and "There is no work directory" in html
    rows = {(r["of fine-tuning"], r["start"]): r["width=16"] for r in table(tmp_path, "table_starts")}
    assert rows["epochs to validation accuracy 0.5", "no pre-training"] == "7.000 ± 1.000"
    assert {row["width=16"] for row in table(tmp_path, "table_claims")} == {SAME}
