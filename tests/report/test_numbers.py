"""Numbers in the report equal the rows of the run; what is chosen is chosen by its rule."""

from __future__ import annotations

import csv
import dataclasses
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr

from clusterlm_jax.records import SPLITS, ScoreRow, layer_names
from clusterlm_jax.report import run_tables, tables
from clusterlm_jax.report.correlation import correlations
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.scatter import figure_scatter
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import (
    like_the_paper,
    metric_records,
    score_rows,
    write_embeddings,
    write_facts,
    write_metrics,
    write_rows,
)

LAYERS = layer_names(3)
SPLIT_NAMES = {"training subset": "training_subset", "validation": "validation"}
LABEL_NAMES = {
    "task": "task",
    "distribution": "distribution",
    "distribution-mapping": "distribution_mapping",
    "mapping": "mapping",
    "input symbol": "input",
    "output symbol": "output",
    "position": "position",
}
NEIGHBOURS = {
    "same task": ("knn_percentage", "task"),
    "accuracy": ("knn_accuracy", "output"),
    "task accuracy": ("knn_task_accuracy", "task"),
}


def distinct(row: ScoreRow) -> float:
    """A trend with a value of its own in every row, so that a number taken from the wrong row shows."""
    name = repr(dataclasses.astuple(row)[:-1])
    return like_the_paper(row) + 0.01 * zlib.crc32(name.encode()) / 2**32


@pytest.fixture(scope="module")
def rows() -> dict[tuple, float]:
    """Values of the main run by split, layer, label, reducer, score and epoch."""
    return {
        (row.split, row.layer, row.label, row.reducer, row.score, row.epoch): row.value
        for row in score_rows(distinct)
        if row.run == "main"
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    workdir = tmp_path_factory.mktemp("numbers")
    write_rows(workdir, score_rows(distinct))
    write_metrics(workdir, metric_records())
    write_facts(workdir)
    return mean_run(read_runs(workdir))


def make(run: Run, name: str) -> tables.Table:
    (entry,) = (entry for entry in run_tables.TABLES if entry.name == name)
    return entry.make(run)


def table(run: Run, name: str) -> list[list[str]]:
    """The rows of a table as they go into its CSV file, without the header."""
    return list(csv.reader(io.StringIO(tables.comma_separated(make(run, name)))))[1:]


def epoch_of(words: str) -> int:
    return int(words.split("(")[1].rstrip(")"))


def test_table_scores_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    lines = table(run, "table_scores")
    assert len(lines) == 2 * 3 * 3 * 3 + 3 * 3
    assert [line[3] for line in lines[:3]] == ["first (0)", "best (5)", "last (8)"]
    for split, label, score, moment, *values in lines:
        if label == "nearest neighbours":
            name, of = NEIGHBOURS[score]
            expected = [rows["validation", layer, of, "none", name, epoch_of(moment)] for layer in LAYERS]
        else:
            cell = (LABEL_NAMES[label], "tsne", score.lower(), epoch_of(moment))
            expected = [rows[SPLIT_NAMES[split], layer, *cell] for layer in LAYERS]
        assert [float(value) for value in values] == expected


def test_table_variance_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    lines = table(run, "table_variance")
    assert len(lines) == 7 * 3
    for label, moment, *values in lines:
        cell = (LABEL_NAMES[label], "none", "variance_share", epoch_of(moment))
        assert [float(value) for value in values] == [rows["validation", layer, *cell] for layer in LAYERS]


def test_table_f1_definitions_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    lines = table(run, "table_f1_definitions")
    names = [words.split(":")[0] for words, *_ in lines]
    assert names == ["f1", "f1_majority", "f1_max_overlap", "f1_pairwise", "f1_bcubed", "purity"]
    for name, (_, *values) in zip(names, lines, strict=True):
        expected = [rows[split, "3", "task", "tsne", name, epoch] for split in SPLITS for epoch in (5, 8)]
        assert [float(value) for value in values] == expected


def test_tables_2_and_9_stand_beside_the_paper(run: Run) -> None:
    assert table(run, "table_2")[:3] == [
        ["training instances", "7120", "7300"],
        ["training subset instances", "240", "180"],
        ["validation instances", "420", "315"],
    ]
    assert table(run, "table_9") == [
        ["32", "55360", "55 thousand"],
        ["256", "", "3 million"],
        ["768", "", "23 million"],
        ["2048", "", "202 million"],
    ]
    markdown = tables.markdown(make(run, "table_9"))
    assert "| 32 | 55,360 | 55 thousand |" in markdown and "| 2,048 | not run | 202 million |" in markdown


def test_markdown_keeps_a_bar_inside_its_cell() -> None:
    text = tables.markdown(tables.Table(("a|b", "c"), (("d|e", 0.12345),)))
    assert text == "| a\\|b | c |\n| --- | --- |\n| d\\|e | 0.123 |\n"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not run"),
        (float("nan"), "undefined"),
        (float("inf"), "never"),
        (0.98765, "0.988"),
        (1508, "1,508"),
        ("task", "task"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value: tables.Value, words: str) -> None:
    assert tables.shown(value) == words


def test_correlations_are_pearsons(run: Run, rows: dict[tuple, float]) -> None:
    """Against scipy; breaks if epochs were paired by place in the file or the other reducer were taken."""
    ours = correlations(run)
    records = metric_records()
    for (performance, score), by_layer in ours.items():
        measured = [record[f"validation_{performance}"] for record in records]
        for layer in LAYERS:
            scores = [rows["validation", layer, "task", "tsne", score, record["epoch"]] for record in records]
            assert by_layer[layer] == pytest.approx(pearsonr(measured, scores).statistic, abs=1e-12)


def run_with(tmp_path: Path, value, best: int | None = None, keep=lambda row: True) -> Run:
    write_rows(tmp_path, [row for row in score_rows(value) if keep(row)])
    write_metrics(tmp_path, metric_records())
    if best is not None:
        write_facts(tmp_path, best)
    return mean_run(read_runs(tmp_path))


def test_the_best_epoch_is_the_checkpoints_or_the_earliest_most_accurate(tmp_path: Path) -> None:
    assert run_with(tmp_path, like_the_paper).best_epoch == 5  # of metric_records
    write_facts(tmp_path, best=7)
    assert mean_run(read_runs(tmp_path)).best_epoch == 7


def test_the_reducer_is_the_better_one_from_the_best_epoch_on(tmp_path: Path) -> None:
    """t-SNE is far better before the best epoch and slightly worse from it on: a mean over all epochs would take it."""

    def value(row: ScoreRow) -> float:
        return 0.5 + {"tsne": 0.4 if row.epoch < 5 else -0.01}.get(row.reducer, 0.0)

    assert run_with(tmp_path, value, best=5).reducer == "none"
    assert run_with(tmp_path, value, best=9).reducer == "tsne", "no analysed epoch from the best one on: all count"


def test_the_reducer_is_chosen_on_the_paper_s_blocks_and_on_shared_cells_only(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        if row.layer in ("0", "final_norm"):
            return 1.0 if row.reducer == "tsne" else 0.0
        if row.reducer == "tsne":
            return 0.5
        return 0.6 if row.epoch < 7 else 0.0  # where t-SNE is not scored, which must not count against it

    run = run_with(tmp_path, value, keep=lambda row: row.reducer == "none" or row.epoch < 7)
    assert run.reducer == "none"


def test_moments_are_analysed_epochs(tmp_path: Path) -> None:
    """Analysed every third epoch, best at 5: the nearest analysed at or before it is 3."""
    run = run_with(tmp_path, like_the_paper, best=5, keep=lambda row: row.epoch % 3 == 0)
    assert dict(run.moments) == {"first": 0, "best": 3, "last": 6}
    assert run.late_epochs == (6,)


def test_the_best_layer_is_one_of_the_paper(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        return {"2": 0.8, "final_norm": 0.9}.get(row.layer, 0.5)

    assert run_with(tmp_path, value).best_layer == "2"


@pytest.mark.parametrize(
    ("best", "shown"),
    [(5, ["0", "2", "3", "5 (best)", "8"]), (0, ["0 (best)", "3", "5", "8"]), (4, ["0", "1", "2", "3", "8"])],
)
def test_the_scatter_shows_first_two_between_best_and_last(tmp_path: Path, best: int, shown: list[str]) -> None:
    run_with(tmp_path, like_the_paper, best)
    write_embeddings(tmp_path, (0, 1, 2, 3, 5, 8), ("3", "1"))
    figure = figure_scatter(mean_run(read_runs(tmp_path)), ReportSpec())
    assert [axes.get_title().split(",")[0].removeprefix("epoch ") for axes in figure.axes] == shown
    assert "layer 3" in figure.get_suptitle(), "the best layer by validation task F1"


def test_the_scatter_obeys_the_spec(tmp_path: Path) -> None:
    write_embeddings(tmp_path, (0, 1, 2), ("1", "2"), points=30)
    run = mean_run(read_runs(tmp_path))
    figure = figure_scatter(run, ReportSpec(scatter_layer="1", scatter_epochs=(2, 0, 7)))
    assert "layer 1" in figure.get_suptitle() and len(figure.axes) == 2
    points = sum(len(collection.get_offsets()) for collection in figure.axes[0].collections)
    assert points == 30, "every instance is drawn once"
    for spec in (ReportSpec(scatter_layer="final_norm"), ReportSpec(scatter_epochs=(9,))):
        with pytest.raises(NotRun):
            figure_scatter(run, spec)


def test_curves_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    """Workers finish cells in any order; curves are drawn through the epochs in theirs."""
    rows = score_rows(like_the_paper)
    write_rows(tmp_path, rows)
    ordered = mean_run(read_runs(tmp_path)).curves
    write_rows(tmp_path, [rows[index] for index in np.random.default_rng(0).permutation(len(rows))])
    shuffled = mean_run(read_runs(tmp_path)).curves
    assert {key: list(curve.items()) for key, curve in ordered.items()} == {
        key: list(curve.items()) for key, curve in shuffled.items()
    }
