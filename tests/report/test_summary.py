"""The scalar measures of a run against the formula it was made by."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run_tables import TABLES
from clusterlm_jax.report.summary import WORDS, spread, summary
from tests.report.work_directories import like_the_paper, metric_records, write_metrics, write_rows, write_run

LAST = {depth: 0.15 + 0.77 * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)}  # of t-SNE, by depth of the block


def test_the_measures_are_the_formula_s(tmp_path: Path) -> None:
    """By hand from `like_the_paper`: a measure of another epoch, block, reducer or split would differ."""
    values = summary(read_runs(write_run(tmp_path))[0])
    expected = {
        "parameters": 55360,
        "best_accuracy": 0.95,
        "best_epoch": 5,
        "epoch_above_half": 4,
        "subset_accuracy_last": 0.95 - 0.02 * 3 - 0.005,
        "task_f1_mean_first": 0.15,
        "task_f1_mean_last": sum(LAST.values()) / 3,
        "task_f1_best_last": 0.92,
        "task_f1_best_last_none": 0.82,
        "task_f1_best_last_input_removed": 0.87,
        "task_f1_highest_tsne": 0.92,
        "distribution_f1_best_last": 0.92,
        "neighbours_first": 0.15,
        "neighbours_last": 0.92,
        "variance_task_last": 0.1 + 0.5 * (1 / 3 + 2 / 3 + 1) / 3,
        "variance_input_last": 0.7 - 0.5 * (1 / 3 + 2 / 3 + 1) / 3,
        "hard_with_own": 0.8,
        "hard_with_original": 0.1,
        "symbols_f1": 0.3,
        "shuffled_f1": 0.1,
        "regrouped_f1": 0.25,
        "half_rise_task": 3,
        "half_rise_distribution": 4,
        "half_rise_accuracy": 4,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert values["r_accuracy"] > 0.9 and values["r_loss"] == pytest.approx(-values["r_accuracy"])
    assert list(values) == list(WORDS) and None not in values.values()


def test_what_was_not_run_is_none_and_what_never_came_is_infinite(tmp_path: Path) -> None:
    write_rows(tmp_path, [])
    write_metrics(tmp_path, [record | {"validation_accuracy": 0.04} for record in metric_records()])
    values = summary(read_runs(tmp_path)[0])
    known = {name for name, value in values.items() if value is not None}
    assert known == {"best_accuracy", "best_epoch", "epoch_above_half", "subset_accuracy_last", "half_rise_accuracy"}
    assert values["epoch_above_half"] == values["half_rise_accuracy"] == math.inf


def test_the_spread_is_over_the_seeds(tmp_path: Path) -> None:
    """Sample standard deviation of 0.92, 0.89, 0.905; a value missing or infinite in one seed has none."""

    def value(row: ScoreRow) -> float:
        if row.seed == 1 and row.label == "distribution":
            return 0.3
        return like_the_paper(row)

    run = mean_run(read_runs(write_run(tmp_path, value, seeds=(0, 1, 2))))
    measures = spread(run.members)
    assert measures["parameters"] == (55360, 0.0, (55360, 55360, 55360))
    mean, deviation, values = measures["task_f1_best_last"]
    assert values == pytest.approx((0.92, 0.89, 0.905)) and mean == pytest.approx(0.905)
    assert deviation == pytest.approx(0.015)
    assert measures["half_rise_distribution"] == (math.inf, None, (4, math.inf, 4))
    assert spread(run.members[:1])["task_f1_best_last"][1] is None


def test_the_spread_of_what_one_seed_lacks_is_none(tmp_path: Path) -> None:
    write_rows(tmp_path, [])
    write_metrics(tmp_path, metric_records() + [r | {"training_subset_accuracy": None} for r in metric_records(seed=1)])
    mean, deviation, values = spread(read_runs(tmp_path))["subset_accuracy_last"]
    assert (mean, deviation) == (None, None) and values[0] is not None and values[1] is None


def test_the_table_of_seeds_is_the_spread(tmp_path: Path) -> None:
    (entry,) = (entry for entry in TABLES if entry.name == "table_seeds")
    run = mean_run(read_runs(write_run(tmp_path, seeds=(0, 1, 2))))
    table = entry.make(run)
    assert table.header == ("measure", "seed 0", "seed 1", "seed 2", "mean", "standard deviation")
    rows = {words: rest for words, *rest in table.rows}
    assert rows[WORDS["task_f1_best_last"]] == pytest.approx([0.92, 0.89, 0.905, 0.905, 0.015])
    assert len(rows) == len(WORDS), "no two measures have the same words"
