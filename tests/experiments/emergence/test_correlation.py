"""Pearson's r over the epochs two curves share, and over the seeds of a run."""

from __future__ import annotations

import dataclasses
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr

from clusterlm_jax.experiments.emergence.correlation import correlate, correlation_deviations, correlations
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.reading import mean_run, read_main
from clusterlm_jax.report.run import NotRun
from tests.report import work_directories as made


def test_equals_scipy() -> None:
    x_E, y_E = np.random.default_rng(0).standard_normal((2, 12))
    ours = correlate(dict(enumerate(x_E.tolist())), dict(enumerate(y_E.tolist())))
    assert ours == pytest.approx(pearsonr(x_E, y_E).statistic)


def test_only_shared_epochs_count_and_by_epoch_not_by_order() -> None:
    performance = {0: 0.0, 1: 9.0, 5: 0.5, 10: 1.0}
    clustering = {10: 3.0, 5: 2.0, 0: 1.0, 7: -8.0}
    assert correlate(performance, clustering) == pytest.approx(1)
    assert correlate({epoch: -value for epoch, value in performance.items()}, clustering) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("one", "other"),
    [({}, {}), ({0: 1.0}, {0: 2.0}), ({0: 1.0, 1: 2.0}, {2: 1.0}), ({0: 1.0, 1: 1.0}, {0: 1.0, 1: 2.0})],
    ids=["empty", "one epoch", "none shared", "constant"],
)
def test_nothing_to_correlate_is_nan(one: dict[int, float], other: dict[int, float]) -> None:
    assert math.isnan(correlate(one, other))
    assert math.isnan(correlate(other, one))


def distinct(row: ScoreRow) -> float:
    """A trend with a value of its own in every row, so that a number taken from the wrong row shows."""
    name = repr(dataclasses.astuple(row)[:-1])
    return made.like_the_paper(row) + 0.01 * zlib.crc32(name.encode()) / 2**32


def test_correlations_are_pearsons(tmp_path: Path) -> None:
    """Against scipy; breaks if epochs were paired by place in the file or the other reducer were taken."""
    rows = made.score_rows(distinct)
    made.write_rows(tmp_path, rows)
    made.write_metrics(tmp_path, made.metric_records())
    run = read_main(tmp_path)
    assert run.reducer == "tsne"
    ours = correlations(run)
    assert set(ours) == {(metric, score) for metric in ("accuracy", "loss") for score in ("f1", "ari", "ami")}
    for (performance, score), by_layer in ours.items():
        measured = [record[f"validation_{performance}"] for record in made.metric_records()]
        assert tuple(by_layer) == run.layers
        for layer, r in by_layer.items():
            cell = ("main", "validation", layer, "task", "tsne", score)
            of = {
                row.epoch: row.value
                for row in rows
                if (row.run, row.split, row.layer, row.label, row.reducer, row.score) == cell
            }
            scores = [of[record["epoch"]] for record in made.metric_records()]
            assert r == pytest.approx(pearsonr(measured, scores).statistic, abs=1e-12)


def test_r_over_seeds_is_the_mean_of_each_seed_s_r(tmp_path: Path) -> None:
    """The r of the mean curves is another number: averaging first smooths what the seeds do not share."""

    def value(row: ScoreRow) -> float:
        return made.like_the_paper(row) + 0.1 * ((row.epoch * (row.seed + 3)) % 5)

    runs = made.read_seeds(made.write_run(tmp_path, value, seeds=(0, 1, 2)))
    mean = mean_run(runs)
    each = [correlations(run)["accuracy", "f1"]["2"] for run in runs]
    assert correlations(mean)["accuracy", "f1"]["2"] == pytest.approx(np.mean(each))
    assert correlation_deviations(mean)["accuracy", "f1"]["2"] == pytest.approx(np.std(each, ddof=1))
    averaged_first = dataclasses.replace(mean, members=())
    assert abs(correlations(averaged_first)["accuracy", "f1"]["2"] - np.mean(each)) > 0.01
    assert correlation_deviations(runs[0]) == {}


def test_two_epochs_or_no_metrics_are_not_enough(tmp_path: Path) -> None:
    made.write_rows(tmp_path, made.score_rows(made.like_the_paper, epochs=2))
    made.write_metrics(tmp_path, made.metric_records())
    with pytest.raises(NotRun, match="fewer than three epochs"):
        correlations(read_main(tmp_path))
    made.write_rows(tmp_path, made.score_rows(made.like_the_paper, epochs=3))
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(NotRun, match="no validation accuracy"):
        correlations(read_main(tmp_path))
