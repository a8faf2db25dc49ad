"""Half-rises on hand-made curves, and the table of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clusterlm_jax.experiments.emergence.tables import TABLES
from clusterlm_jax.experiments.emergence.timing import half_rise, scored_spaces, timed_curves, way_of
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.tables import NEVER
from tests.report.work_directories import (
    like_the_paper,
    score_rows,
    write_rows,
    write_run,
)


@pytest.mark.parametrize(
    ("curve", "epoch"),
    [
        ({0: 0.0, 1: 0.2, 2: 0.6, 3: 1.0}, 2),
        ({0: 0.0, 1: 0.5, 2: 1.0}, 1),  # exactly half the way counts
        ({0: 0.4, 1: 0.6, 2: 0.8, 3: 1.0}, 2),  # half of its own way, not of 1
        ({0: 0.0, 10: 0.3, 20: 0.9}, 20),  # a known epoch, not one between
        ({0: 0.0, 1: 0.8, 2: 0.1, 3: 1.0}, 1),  # the first time, even if it falls again
        ({0: 0.0, 1: 0.9, 2: 0.2}, 1),  # to its highest, not to its last
        ({0: 0.9, 1: 0.1}, NEVER),
        ({0: 0.5, 1: 0.54}, NEVER),  # too short a way
        ({0: 0.5}, NEVER),
        ({}, NEVER),
    ],
)
def test_the_half_rise_is_the_first_known_epoch_at_half_the_way(curve: dict[int, float], epoch: float) -> None:
    assert half_rise(curve) == epoch


def table(workdir: Path) -> dict[tuple[str, str], tuple]:
    (entry,) = (entry for entry in TABLES if entry.name == "table_timing")
    return {(curve, space): rest for curve, space, *rest in entry(read_main(workdir)).rows}


def test_the_table_times_every_curve_in_every_space(tmp_path: Path) -> None:
    """Task clusters come at epoch 3 and all else at 4; the mapping's are made to come at 6 with t-SNE alone."""

    def value(row: ScoreRow) -> float:
        if row.label == "mapping":
            return 0.8 * (row.epoch >= 6 and row.reducer == "tsne" and row.layer == "1")
        return like_the_paper(row)

    rows = table(write_run(tmp_path, value))
    assert len(rows) == 6 * 3 + 2
    assert {curve[-1] for (name, _), curve in rows.items() if name == "clusters by task"} == {3}
    assert {curve[-1] for (name, _), curve in rows.items() if name == "clusters by distribution"} == {4}
    assert rows["clusters by mapping", "t-SNE, 3 components"] == [0.0, 0.8, 6], "the best block, here the first"
    assert rows["clusters by mapping", "no reduction"] == [0.0, 0.0, NEVER]
    assert rows["validation accuracy", ""] == [0.01, 0.95, 4]
    assert rows["neighbours with the same task", ""][-1] == 4


def test_the_table_has_each_seed_s_own_epoch(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        return like_the_paper(dataclasses.replace(row, epoch=max(row.epoch - row.seed, 0)))

    rows = table(write_run(tmp_path, value, seeds=(0, 1, 2)))
    assert rows["clusters by task", "no reduction"][-3:] == [3, 4, 5]


def test_one_epoch_times_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path, score_rows(like_the_paper, epochs=1))
    assert scored_spaces(read_main(tmp_path)) == []


def test_the_way_is_from_the_first_value_to_the_highest() -> None:
    assert way_of({0: 0.3, 5: 0.9, 10: 0.6}) == (0.3, 0.9)


def test_only_curves_that_are_there_are_timed(tmp_path: Path) -> None:
    rows = [row for row in score_rows(like_the_paper) if row.reducer == "tsne" and row.label in ("task", "input")]
    write_rows(tmp_path, rows)
    run = read_main(tmp_path)
    assert list(timed_curves(run, "tsne")) == ["task", "input"]
    assert timed_curves(run, "tsne")["task"] == run.over_blocks(max, reducer="tsne", score="f1")
    assert timed_curves(run, "none") == {}
    assert scored_spaces(run) == ["tsne"]
