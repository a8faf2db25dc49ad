"""A work directory read back: every seed apart, and their mean."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.correlation import correlation_deviations, correlations
from clusterlm_jax.report.reading import mean_run, read_runs
from tests.report.work_directories import (
    like_the_paper,
    metric_records,
    score_rows,
    write_metrics,
    write_rows,
    write_run,
)

KEY = ("validation", "2", "task", "none", "f1")


def shifted(row: ScoreRow) -> float:
    """Seeds 0, 1 and 2 differ by different amounts, so that a mean is none of them, nor a median."""
    return like_the_paper(dataclasses.replace(row, seed=0)) + (0.0, 0.01, 0.05)[row.seed]


def test_seeds_and_other_runs_stay_apart(tmp_path: Path) -> None:
    rows = [row for row in score_rows(like_the_paper) if row.label == "mapping" and row.run == "main"]
    second = [dataclasses.replace(row, seed=1, value=0.5) for row in rows]
    foreign = [dataclasses.replace(row, run="main/other", value=0.99) for row in rows]
    write_rows(tmp_path, foreign + second + rows)
    write_metrics(tmp_path, [record | {"seed": seed} for seed in (2, 0) for record in metric_records()])
    runs = read_runs(tmp_path)
    assert [run.seeds for run in runs] == [(0,), (1,), (2,)], "lowest first, with scores or only metrics"
    values = [{value for curve in run.curves.values() for value in curve.values()} for run in runs]
    assert values[0] == {row.value for row in rows} and values[1] == {0.5} and not values[2]
    assert runs[0].metrics and not runs[1].metrics and runs[2].metrics


def test_each_seed_has_its_own_facts_and_they_share_the_model(tmp_path: Path) -> None:
    write_run(tmp_path, seeds=(0, 1))
    (tmp_path / "run.json").write_text(
        '{"dataset": {"0": {"tasks": 50}, "1": {"tasks": 49}}, "model": {"parameters": 7}, "best": {"1": {"epoch": 7}}}'
    )
    first, second = read_runs(tmp_path)
    assert (first.facts["dataset"], second.facts["dataset"]) == ({"tasks": 50}, {"tasks": 49})
    assert first.facts["model"] == second.facts["model"] == {"parameters": 7}
    assert (first.best_epoch, second.best_epoch) == (5, 7), "the most accurate one until a best one is recorded"


def test_the_mean_is_the_mean_and_the_deviation_the_sample_s(tmp_path: Path) -> None:
    """By hand: values v, v + .01, v + .05 have mean v + .02 and sample variance (.0004 + .0001 + .0009) / 2."""
    runs = read_runs(write_run(tmp_path, shifted, seeds=(0, 1, 2)))
    mean = mean_run(runs)
    assert mean.seeds == (0, 1, 2) and mean.each_seed == runs
    assert mean.curves[KEY].keys() == runs[0].curves[KEY].keys()
    for epoch, value in mean.curves[KEY].items():
        assert value == pytest.approx(runs[0].curves[KEY][epoch] + 0.02, abs=1e-12)
        assert mean.deviation("f1", "task", "validation", "2", "none")[epoch] == pytest.approx(0.0007**0.5, abs=1e-12)
    losses = [run.metrics["training_loss"][3] for run in runs]
    assert mean.metrics["training_loss"][3] == pytest.approx(np.mean(losses))
    assert mean.deviations["training_loss"][3] == pytest.approx(np.std(losses, ddof=1))
    assert mean.symbols[mean.key("f1", "task", "validation", "0", "none")] == pytest.approx(0.32)


def test_the_mean_is_over_the_epochs_all_seeds_have(tmp_path: Path) -> None:
    """One seed is three epochs behind; a mean over whoever is there would jump where it ends."""
    rows = [row for seed in (0, 1) for row in score_rows(like_the_paper, epochs=9 - 3 * seed, seed=seed)]
    write_rows(tmp_path, rows)
    write_metrics(tmp_path, [record for seed in (0, 1) for record in metric_records(9 - 3 * seed, seed=seed)])
    mean = mean_run(read_runs(tmp_path))
    assert mean.epochs == tuple(range(6)) and max(mean.metrics["validation_accuracy"]) == 5


def test_one_seed_is_itself(tmp_path: Path) -> None:
    (run,) = read_runs(write_run(tmp_path))
    assert mean_run([run]) is run
    assert not run.deviations and not run.members and run.each_seed == (run,)


def test_all_seeds_are_shown_with_the_reducer_that_is_better_on_average(tmp_path: Path) -> None:
    """Alone, seed 0 would be shown with t-SNE and seed 1 without; on average t-SNE is better."""

    def value(row: ScoreRow) -> float:
        return 0.5 + (row.reducer == "tsne") * (0.2, -0.1)[row.seed]

    alone = tmp_path / "alone"
    alone.mkdir()
    write_rows(alone, score_rows(value, seed=1))
    assert read_runs(alone)[0].reducer == "none"
    runs = read_runs(write_run(tmp_path / "both", value, seeds=(0, 1)))
    assert [run.reducer for run in (*runs, mean_run(runs))] == ["tsne"] * 3


def test_what_is_undefined_is_not_there(tmp_path: Path) -> None:
    """Without hard examples their shares are nan, which must not stand in for a number."""

    def value(row: ScoreRow) -> float:
        return math.nan if row.score.startswith("hard_") else like_the_paper(row)

    write_rows(tmp_path, score_rows(value))
    (run,) = read_runs(tmp_path)
    assert run.curves and not any(key[4].startswith("hard_") for key in run.curves)


def test_r_over_seeds_is_the_mean_of_each_seed_s_r(tmp_path: Path) -> None:
    """The r of the mean curves is another number: averaging first smooths what the seeds do not share."""

    def value(row: ScoreRow) -> float:
        return like_the_paper(row) + 0.1 * ((row.epoch * (row.seed + 3)) % 5)

    runs = read_runs(write_run(tmp_path, value, seeds=(0, 1, 2)))
    mean = mean_run(runs)
    each = [correlations(run)["accuracy", "f1"]["2"] for run in runs]
    assert correlations(mean)["accuracy", "f1"]["2"] == pytest.approx(np.mean(each))
    assert correlation_deviations(mean)["accuracy", "f1"]["2"] == pytest.approx(np.std(each, ddof=1))
    averaged_first = dataclasses.replace(mean, members=())
    assert abs(correlations(averaged_first)["accuracy", "f1"]["2"] - np.mean(each)) > 0.01
    assert correlation_deviations(runs[0]) == {}
