"""Null baselines: the numbers of the rows, drawn where there are rows and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report import figures
from clusterlm_jax.report.nulls import NULLS, null_curves, null_values
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.run_tables import TABLES
from tests.report.work_directories import (
    NULL_LABELS,
    SYMBOLS,
    like_the_paper,
    metric_records,
    score_rows,
    write_metrics,
    write_rows,
)


def told_apart(row: ScoreRow) -> float:
    """Every null differs by layer and epoch, so that a number from the wrong cell shows."""
    if row.label in NULL_LABELS and row.run == "main":
        layer = 9 if row.layer == "final_norm" else int(row.layer)
        return 0.1 * NULL_LABELS.index(row.label) + 0.01 * layer + 0.001 * row.epoch
    return like_the_paper(row)


def read(workdir: Path, keep=lambda row: True) -> Run:
    write_rows(workdir, [row for row in score_rows(told_apart) if keep(row)])
    write_metrics(workdir, metric_records())
    return mean_run(read_runs(workdir))


def test_dealt_labels_are_the_mean_of_the_blocks_and_the_others_constant(tmp_path: Path) -> None:
    """By hand, blocks 1 to 3: mean layer 2; without layer 0 and the final norm, which are no blocks."""
    curves = null_curves(read(tmp_path), "f1", "task", "validation")
    epochs = range(9)
    assert curves["shuffled"] == pytest.approx({epoch: 0.02 + 0.001 * epoch for epoch in epochs})
    assert curves["regrouped"] == pytest.approx({epoch: 0.3 + 0.02 + 0.001 * epoch for epoch in epochs})
    assert curves["symbols"] == dict.fromkeys(epochs, 0.3)
    assert curves["untrained"] == pytest.approx(dict.fromkeys(epochs, 0.15)), "the best block of epoch 0"
    assert "regrouped" not in null_curves(read(tmp_path), "f1", "distribution", "validation")


def test_values_beside_a_block_are_that_block_s(tmp_path: Path) -> None:
    run = read(tmp_path)
    values = null_values(run, "ari", "validation", "3", 8, "none")
    assert list(values) == list(NULLS)
    assert values["shuffled"] == pytest.approx(0.03 + 0.008)
    assert values["regrouped"] == pytest.approx(0.3 + 0.03 + 0.008)
    assert values["symbols"] == 0.3
    assert values["untrained"] == pytest.approx(0.15 - 0.1 - 0.06), "epoch 0, without reduction, ARI"


def test_the_table_takes_the_best_block_and_the_highest_null(tmp_path: Path) -> None:
    (entry,) = (entry for entry in TABLES if entry.name == "table_nulls")
    table = entry.make(read(tmp_path))
    assert len(table.rows) == 3 * 2 * 3
    (row,) = (row for row in table.rows if row[:2] == ("t-SNE, 3 components", "validation") and row[3] == "F1")
    assert row[2] == "3"
    assert row[4:] == pytest.approx((0.92, 0.3, 0.15, 0.338, 0.038, 0.92 - 0.338))


def drawn(figure: Figure) -> list[set[str]]:
    """The nulls drawn in each panel."""
    return [{line.get_label() for line in axes.lines} & set(NULLS.values()) for axes in figure.axes]


ALL, NO_TASK = set(NULLS.values()), set(NULLS.values()) - {NULLS["regrouped"]}


def test_nulls_are_drawn_where_there_are_rows(tmp_path: Path) -> None:
    run = read(tmp_path)
    assert drawn(figures.figure_2(run)) == [ALL, NO_TASK, NO_TASK] * 2
    assert drawn(figures.figure_6(run, "training_subset")) == [ALL, NO_TASK, NO_TASK] * 3
    assert drawn(figures.figure_spaces(run)) == [ALL] * 6
    assert drawn(figures.figure_4(run)) == [ALL, {NULLS["symbols"], NULLS["untrained"]}]
    assert drawn(figures.figure_variance(run)) == [set()] * 6
    assert drawn(figures.figure_hard(run)) == [set()] * 2
    words = {text.get_text() for legend in figures.figure_2(run).legends for text in legend.get_texts()}
    assert words >= ALL


def test_nulls_are_not_drawn_without_rows(tmp_path: Path) -> None:
    run = read(tmp_path, lambda row: row.label not in NULL_LABELS and row.run != SYMBOLS and row.epoch > 0)
    figure = figures.figure_2(run)
    assert drawn(figure) == [set()] * 6
    assert len(figure.legends) == 1
