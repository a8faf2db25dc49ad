"""The scalar measures of a run against the formula it was made by."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from clusterlm_jax.experiments.emergence.comparison import measures
from clusterlm_jax.experiments.emergence.comparison.measures import MEASURES, summary
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun
from tests.report.work_directories import like_the_paper, metric_records, write_metrics, write_rows, write_run

LAST = {depth: 0.15 + 0.77 * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)}  # of t-SNE, by depth of the block


def test_the_measures_are_the_formula_s(tmp_path: Path) -> None:
    """By hand from `like_the_paper`: a measure of another epoch, block, reducer or split would differ."""
    values = summary(read_main(write_run(tmp_path)))
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
        "neighbours_last": 0.92,
        "across_last": 0.92,
        "knn_accuracy_last": 0.92,
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
    assert list(values) == list(MEASURES) and None not in values.values()


def test_what_was_not_run_is_none_and_what_never_came_is_infinite(tmp_path: Path) -> None:
    write_rows(tmp_path, [])
    write_metrics(tmp_path, [record | {"validation_accuracy": 0.04} for record in metric_records()])
    values = summary(read_main(tmp_path))
    known = {name for name, value in values.items() if value is not None}
    assert known == {"best_accuracy", "best_epoch", "epoch_above_half", "subset_accuracy_last", "half_rise_accuracy"}
    assert values["epoch_above_half"] == values["half_rise_accuracy"] == math.inf


def test_each_space_has_its_own_f1_and_the_run_s_own_stands_first(tmp_path: Path) -> None:
    values = summary(read_main(write_run(tmp_path)))
    for moment in ("mean_first", "best_best", "mean_last", "highest"):
        assert values[f"task_f1_{moment}"] == values[f"task_f1_{moment}_tsne"] > values[f"task_f1_{moment}_none"]


def test_the_hard_shares_are_of_the_block_with_the_best_f1_of_the_training_subset(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        if row.score == "f1" and row.label == "task" and row.split == "training_subset":
            return 0.9 if row.layer == "2" else 0.4
        return like_the_paper(row)

    values = summary(read_main(write_run(tmp_path, value)))
    assert values["hard_with_own"] == pytest.approx(0.1 + 0.7 * 2 / 3)


def test_a_score_of_the_last_block_must_be_there(tmp_path: Path) -> None:
    run = read_main(write_run(tmp_path))
    assert measures.last_block(run, "across", "shuffled_task") == 0.1
    assert measures.best_f1(run, moment="first") == pytest.approx(0.15)
    with pytest.raises(NotRun):
        measures.last_block(run, "across", "mapping")


def test_no_two_measures_have_the_same_words() -> None:
    assert len({words for words, _ in MEASURES.values()}) == len(MEASURES)
