"""The tables of the three starts: their numbers are those of the rows, seed by seed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.experiments.pretraining.page import write
from clusterlm_jax.experiments.pretraining.starts import INSTANCES_TO, STARTS, read_starts
from clusterlm_jax.report.run import measured
from clusterlm_jax.report.spec import ReportSpec
from tests.experiments.pretraining.directories import EPOCHS, SEEDS, like_the_paper, metric_records, table, write_starts

PAGE_ONLY = ReportSpec(formats=())
WORDS = {words: start for start, words in STARTS.items()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    workdir = write_starts(tmp_path_factory.mktemp("starts") / "run")
    write(workdir, PAGE_ONLY)
    return workdir


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
    last = {(row["of fine-tuning"], row["start"]): (row["mean"], row["mean, standard deviation"]) for row in rows}
    assert last["epochs to validation accuracy 0.5", "task-ID pre-training"] == ("4.0", "1.0")
    told = (reported / "tables" / "table_starts.md").read_text()
    assert "| never |" in told and "| 4.000 ± 1.000 |" in told


def test_instances_count_the_pretraining_up_to_its_chosen_epoch(reported):
    """12 instances a step (13 were asked for) and 50 steps an epoch; in pre-training 6 and 20, until epoch 4 or 6."""
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


def test_a_run_that_does_not_say_its_batches_has_no_number_of_instances(tmp_path):
    """Breaks when the configured batch size is taken for the real one."""
    workdir = write_starts(tmp_path / "run", seeds=(0,))
    facts = json.loads((workdir / "run.json").read_text())
    for phase in facts["phases"].values():
        del phase["training"]["0"]["instances_per_step"]
    (workdir / "run.json").write_text(json.dumps(facts))
    starts = read_starts(workdir)
    assert [measured(INSTANCES_TO[0.5], starts, start) for start in STARTS] == [None] * 3


def test_differences_are_paired_by_seed(reported):
    both = {(row["of fine-tuning"], row["difference"]): row for row in table(reported, "table_differences")}
    row = both["best validation accuracy", "task-ID pre-training less no pre-training"]
    each = [accuracies("task_id", seed).max() - accuracies("none", seed).max() for seed in SEEDS]
    assert [float(row[f"seed {seed}"]) for seed in SEEDS] == pytest.approx(each)
    assert float(row["mean"]) == pytest.approx(np.mean(each))
    assert float(row["mean, standard deviation"]) == pytest.approx(np.std(each, ddof=1))
    row = both["epochs to validation accuracy 0.9", "task-ID pre-training less no pre-training"]
    assert {row[f"seed {seed}"] for seed in SEEDS} == {"only the first reached it"}
    row = both["epochs to validation accuracy 0.9", "instruction pre-training less no pre-training"]
    assert row["mean"] == "neither reached it"


def test_the_chosen_epochs_are_the_runs_own(reported):
    rows = table(reported, "table_pretraining")
    chosen = {row["start"]: row["seed 1"] for row in rows if row["of pre-training"].startswith("epoch that")}
    assert chosen == {"task-ID pre-training": "4", "instruction pre-training": "6"}
    losses = {row["start"]: float(row["seed 1"]) for row in rows if "loss there" in row["of pre-training"]}
    assert losses == {"task-ID pre-training": pytest.approx(2.21), "instruction pre-training": pytest.approx(2.01)}


def test_what_has_not_ended_has_no_best_and_is_never_never(tmp_path):
    """A fine-tuning under way may yet come to .9; what it has reached, it has."""
    records = [r for r in metric_records() if r["run"] != "none/finetune" or r["epoch"] <= 8]
    workdir = write_starts(tmp_path / "run", records)
    write(workdir, PAGE_ONLY)
    rows = {(r["of fine-tuning"], r["start"]): r for r in table(workdir, "table_starts")}
    assert rows["epochs to validation accuracy 0.9", "no pre-training"]["seed 0"] == ""
    assert rows["epochs to validation accuracy 0.5", "no pre-training"]["seed 0"] == "6"
    assert rows["best validation accuracy", "no pre-training"]["seed 0"] == ""
