"""The instruments on the page: their curves, their verdicts, their tables, each from the rows that belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report import instruments
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.run_tables import TABLES
from tests.report.work_directories import like_the_paper, metric_records, score_rows, write_metrics, write_rows


def read(workdir: Path, value=like_the_paper, keep=lambda row: True, epochs: int = 9) -> Run:
    write_rows(workdir, [row for row in score_rows(value, epochs=epochs) if keep(row)])
    write_metrics(workdir, metric_records(epochs))
    return mean_run(read_runs(workdir))


def told_apart(row: ScoreRow) -> float:
    """Every instrument, layer and epoch has a value of its own, so that a curve from the wrong rows shows."""
    names = [score for score, _ in instruments.PANELS]
    if row.label == "task" and row.score in names and row.split == "validation" and row.run == "main":
        layer = 9 if row.layer == "final_norm" else int(row.layer)
        return 0.1 * names.index(row.score) + 0.01 * layer + 0.001 * row.epoch
    return like_the_paper(row)


def test_each_panel_shows_the_curves_of_its_own_score(tmp_path: Path) -> None:
    """Breaks when a panel takes another score, another split or a reduced space."""
    run = read(tmp_path, told_apart)
    figure = instruments.figure_instruments(run)
    assert len(figure.axes) == len(instruments.PANELS)
    for place, (panel, (score, _)) in enumerate(zip(figure.axes, instruments.PANELS, strict=True)):
        drawn = [[round(value, 4) for value in line.get_ydata()] for line in panel.lines]
        for layer, tens in (("0", 0), ("3", 3), ("final_norm", 9)):
            expected = [round(0.1 * place + 0.01 * tens + 0.001 * epoch, 4) for epoch in range(9)]
            assert expected in drawn, (score, layer)


def test_nulls_are_drawn_with_the_instruments(tmp_path: Path) -> None:
    figure = instruments.figure_instruments(read(tmp_path))
    across = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].lines}
    probe = {line.get_label(): list(line.get_ydata()) for line in figure.axes[4].lines}
    shuffled, regrouped, untrained = (instruments.NULLS[name] for name in ("shuffled", "regrouped", "untrained"))
    assert across[shuffled] == pytest.approx([0.1] * 9)
    assert probe[regrouped] == pytest.approx([0.25] * 9)
    assert across[untrained] == pytest.approx([0.15] * 9)
    assert regrouped not in across and shuffled not in probe


def test_without_instruments_nothing_is_drawn_or_judged(tmp_path: Path) -> None:
    run = read(tmp_path, keep=lambda row: row.score in ("f1", "ari", "ami"))
    for function in (
        instruments.figure_instruments,
        instruments.across_distributions,
        instruments.coarse_level,
        instruments.in_a_sentence,
    ):
        with pytest.raises(NotRun):
            function(run)


def test_the_task_must_beat_every_null(tmp_path: Path) -> None:
    """One null as high as the trained model is enough against it."""
    assert instruments.across_distributions(read(tmp_path)).seen
    for label, score in (("shuffled_task", "across"), ("regrouped_task", "probe_validation")):

        def value(row: ScoreRow, label=label, score=score) -> float:
            return 0.9 if (row.label, row.score) == (label, score) else like_the_paper(row)

        assert not instruments.across_distributions(read(tmp_path, value)).seen


def test_numbers_name_what_the_neighbours_share(tmp_path: Path) -> None:
    *_, by_input = instruments.across_distributions(read(tmp_path)).numbers
    assert by_input == (
        "Layer 3: 0.92 among those with the same input symbol (by chance 0.10) and 0.92 among those with another "
        "input symbol (by chance 0.10)."
    )


@pytest.mark.parametrize(
    ("label", "clusters"), [("task", 30.0), ("distribution", 120.0), ("distribution_mapping", 8.0)]
)
def test_levels_out_of_order_are_no_hierarchy(tmp_path: Path, label: str, clusters: float) -> None:
    def value(row: ScoreRow) -> float:
        return clusters if (row.label, row.score) == (label, "tree_clusters") else like_the_paper(row)

    assert instruments.coarse_level(read(tmp_path)).seen
    assert not instruments.coarse_level(read(tmp_path, value)).seen


def test_inputs_as_the_coarse_level_are_no_task_hierarchy(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        return 0.95 if (row.label, row.score) == ("input", "tree_f1") else like_the_paper(row)

    assert not instruments.coarse_level(read(tmp_path, value)).seen


@pytest.mark.parametrize(("epochs", "expected"), [(201, (0, 10, 20, 50, 100, 200)), (9, (0, 1, 2, 4, 8)), (1, (0,))])
def test_milestones_are_the_nearest_analysed_epochs(tmp_path: Path, epochs: int, expected: tuple[int, ...]) -> None:
    rows = [
        row for row in score_rows(like_the_paper, epochs=epochs, blocks=1) if (row.score, row.label) == ("f1", "task")
    ]
    write_rows(tmp_path, rows)
    assert instruments.milestones(mean_run(read_runs(tmp_path))) == expected


def test_the_tables_hold_the_rows(tmp_path: Path) -> None:
    """Every cell of both tables is the value of the row it names; nulls stand beside the labels they imitate."""
    run = read(tmp_path, told_apart)
    make = {entry.name: entry.make for entry in TABLES}
    instrument, training = make["table_instruments"](run), make["table_training"](run)
    row = next(row for row in instrument.rows if row[:4] == ("validation", "silhouette", "task", 8))
    assert row[4:] == pytest.approx([0.7 + 0.01 * layer + 0.008 for layer in (0, 1, 2, 3, 9)])
    assert {row[2] for row in instrument.rows if row[1].startswith("linear probe")} == {
        "task",
        "regrouped_task".replace("_", "-"),
    }
    both = [row for row in training.rows if row[:3] == ("validation", "task", "F1") and row[4] == 8]
    assert [row[3] for row in both] == ["no reduction", "t-SNE"]
    assert both[0][5:] == pytest.approx([0.01 * layer + 0.008 for layer in (0, 1, 2, 3, 9)])
