"""Numbers in the tables equal the rows of the run."""

from __future__ import annotations

import csv
import dataclasses
import io
import zlib
from pathlib import Path

import pytest

from clusterlm_jax.experiments.emergence.comparison.measures import MEASURES
from clusterlm_jax.experiments.emergence.tables import INSTRUMENTS, NEIGHBOURS, TABLES, milestones
from clusterlm_jax.records import SPLITS, ScoreRow, layer_names
from clusterlm_jax.report import tables
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.tables import Table
from clusterlm_jax.report.words import LABEL_WORDS, NULLS
from tests.report import work_directories as directories

LAYERS = layer_names(3)
LABELS = {words: label for label, words in LABEL_WORDS.items()}
SPLIT_NAMES = {"training subset": "training_subset", "validation": "validation"}
REDUCERS = {"no reduction": "none", "t-SNE": "tsne"}
ENTRIES = {entry.name: entry for entry in TABLES}


def distinct(row: ScoreRow) -> float:
    """A trend with a value of its own in every row, so that a number taken from the wrong row shows."""
    name = repr(dataclasses.astuple(row)[:-1])
    return directories.like_the_paper(row) + 0.01 * zlib.crc32(name.encode()) / 2**32


@pytest.fixture(scope="module")
def rows() -> dict[tuple, float]:
    """Values of the main run by split, layer, label, reducer, score and epoch."""
    return {
        (row.split, row.layer, row.label, row.reducer, row.score, row.epoch): row.value
        for row in directories.score_rows(distinct)
        if row.run == "main"
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    workdir = tmp_path_factory.mktemp("numbers")
    directories.write_rows(workdir, directories.score_rows(distinct))
    directories.write_metrics(workdir, directories.metric_records())
    directories.write_facts(workdir)
    return read_main(workdir)


def in_file(table: Table) -> list[list[str]]:
    """The rows of a table as they go into its CSV file, without the header."""
    return list(csv.reader(io.StringIO(tables.comma_separated(table))))[1:]


def of_layers(rows: dict[tuple, float], split: str, label: str, reducer: str, score: str, epoch: str) -> list[float]:
    return [rows[split, layer, label, reducer, score, int(epoch)] for layer in LAYERS]


def test_table_scores_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    lines = in_file(ENTRIES["table_scores"](run))
    assert len(lines) == 6 * (2 * 3 * 3 * 2 + 5)
    assert [line[4] for line in lines[:6]] == ["0", "1", "2", "4", "5", "8"], "with the best epoch, 5"
    neighbours = {words: (label, "none", score) for score, label, words in NEIGHBOURS}
    for split, label, score, reducer, epoch, *values in lines:
        of = neighbours.get(score) or (LABELS[label], REDUCERS[reducer], score.lower())
        assert of[0] == LABELS[label]
        assert [float(value) for value in values] == of_layers(rows, SPLIT_NAMES[split], *of, epoch)


def test_table_instruments_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    """The nulls of a label are rows of the same instrument."""
    lines = in_file(ENTRIES["table_instruments"](run))
    names = {words: score for score, words in INSTRUMENTS.items()}
    for split, instrument, label, epoch, *values in lines:
        of = (SPLIT_NAMES[split], label.replace("-", "_"), "none", names[instrument], epoch)
        assert [float(value) for value in values] == of_layers(rows, *of)
    assert {line[2] for line in lines if line[1].startswith("linear probe")} == {"task", "regrouped-task"}
    assert {line[1] for line in lines} == set(names)
    shares = {line[2] for line in lines if names[line[1]] == "variance_share"}
    assert shares >= {"task", "distribution", "mapping", "input", "output", "position"}


def test_table_f1_definitions_equals_the_rows(run: Run, rows: dict[tuple, float]) -> None:
    lines = in_file(ENTRIES["table_f1_definitions"](run))
    names = [words.split(":")[0] for words, *_ in lines]
    assert names == ["f1", "f1_majority", "f1_max_overlap", "f1_pairwise", "f1_bcubed", "purity"]
    layer = ENTRIES["table_f1_definitions"](run).header[0].split("layer ")[1][0]
    for name, (_, *values) in zip(names, lines, strict=True):
        expected = [rows[split, layer, "task", "tsne", name, epoch] for split in SPLITS for epoch in (5, 8)]
        assert [float(value) for value in values] == expected


def test_tables_2_and_9_are_compared_with_the_paper(run: Run) -> None:
    assert in_file(ENTRIES["table_2"](run))[:3] == [
        ["training instances", "7120", "7300"],
        ["training subset instances", "240", "180"],
        ["validation instances", "420", "315"],
    ]
    assert in_file(ENTRIES["table_9"](run)) == [
        ["32", "55360", "55 thousand"],
        ["256", "", "3 million"],
        ["768", "", "23 million"],
        ["2048", "", "202 million"],
    ]
    markdown = tables.markdown(ENTRIES["table_9"](run))
    assert "| 32 | 55,360 | 55 thousand |" in markdown and "| 2,048 | not run | 202 million |" in markdown


def test_a_width_that_the_paper_has_not_is_shown_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"model": {"hidden_dim": 128, "parameters": 9}}')
    rows = ENTRIES["table_9"](read_main(tmp_path)).rows
    assert [row[0] for row in rows] == [32, 128, 256, 768, 2048]
    assert rows[1] == (128, 9, "no such model")


@pytest.mark.parametrize(
    ("epochs", "best", "expected"),
    [(201, 100, [0, 10, 20, 50, 100, 200]), (9, 3, [0, 1, 2, 3, 4, 8]), (9, 8, [0, 1, 2, 4, 8]), (1, 0, [0])],
)
def test_milestones_are_the_nearest_analysed_epochs_and_the_best(
    tmp_path: Path, epochs: int, best: int, expected: list[int]
) -> None:
    rows = directories.score_rows(lambda row: 0.5, epochs=1, blocks=1)
    rows = [row for row in rows if (row.run, row.score, row.label, row.reducer) == ("main", "f1", "task", "none")]
    directories.write_rows(tmp_path, [dataclasses.replace(row, epoch=epoch) for row in rows for epoch in range(epochs)])
    directories.write_facts(tmp_path, best)
    assert milestones(read_main(tmp_path)) == expected


def told_apart(row: ScoreRow) -> float:
    """Every null differs by layer and epoch, so that a number from the wrong cell shows."""
    if row.label in directories.NULL_LABELS and row.run == "main":
        layer = 9 if row.layer == "final_norm" else int(row.layer)
        return 0.1 * directories.NULL_LABELS.index(row.label) + 0.01 * layer + 0.001 * row.epoch
    return directories.like_the_paper(row)


def test_the_table_of_nulls_takes_the_best_block_and_the_highest_null(tmp_path: Path) -> None:
    directories.write_rows(tmp_path, directories.score_rows(told_apart))
    directories.write_metrics(tmp_path, directories.metric_records())
    made = ENTRIES["table_nulls"](read_main(tmp_path))
    assert made.header[4:] == ("trained, epoch 8", *NULLS.values(), "above")
    assert len(made.rows) == 3 * 2 * 3
    (row,) = (row for row in made.rows if row[:2] == ("t-SNE, 3 components", "validation") and row[3] == "F1")
    assert row[2] == "3"
    assert row[4:] == pytest.approx((0.92, 0.3, 0.15, 0.338, 0.038, 0.92 - 0.338))


def test_a_null_that_was_not_scored_leaves_the_difference_open(tmp_path: Path) -> None:
    directories.write_rows(
        tmp_path, [row for row in directories.score_rows(told_apart) if row.label != "regrouped_task"]
    )
    row = ENTRIES["table_nulls"](read_main(tmp_path)).rows[0]
    assert row[-3:] == (None, pytest.approx(0.038), None)


def test_the_table_of_seeds_has_every_measure_with_mean_and_deviation(tmp_path: Path) -> None:
    """Sample standard deviation of .92, .89, .905; an epoch that one seed never reached has no finite mean."""

    def value(row: ScoreRow) -> float:
        return 0.3 if row.seed == 1 and row.label == "distribution" else directories.like_the_paper(row)

    made = ENTRIES["table_seeds"](read_main(directories.write_run(tmp_path, value, seeds=(0, 1, 2))))
    assert made.header == ("measure", "seed 0", "seed 1", "seed 2", "mean")
    rows = {words: rest for words, *rest in made.rows}
    assert list(rows) == [words for words, _ in MEASURES.values()], "no two measures have the same words"
    *each, mean = rows["task F1, best block, last epoch"]
    assert each == list(mean.values) == pytest.approx([0.92, 0.89, 0.905])
    assert (mean.mean, mean.deviation) == pytest.approx((0.905, 0.015))
    assert rows["parameters of the model"] == [55360] * 4
    *each, mean = rows["epoch of half the rise of distribution clusters, best block"]
    assert each == [4, tables.NEVER, 4] and str(mean) == "never in 1 of 3 seeds"


def test_a_measure_that_one_seed_lacks_has_no_mean(tmp_path: Path) -> None:
    lacking = [record | {"training_subset_accuracy": None} for record in directories.metric_records(seed=1)]
    directories.write_metrics(tmp_path, directories.metric_records() + lacking)
    rows = {words: rest for words, *rest in ENTRIES["table_seeds"](read_main(tmp_path)).rows}
    first, *rest = rows["accuracy on the training subset, last epoch"]
    assert first is not None and rest == [None, None]


def test_one_seed_has_no_table_of_seeds_and_no_rows_no_scores(tmp_path: Path, run: Run) -> None:
    with pytest.raises(NotRun, match="one seed only"):
        ENTRIES["table_seeds"](run)
    directories.write_metrics(tmp_path, directories.metric_records())
    empty = read_main(tmp_path)
    for name in set(ENTRIES) - {"table_2", "table_9"}:
        with pytest.raises(NotRun):
            ENTRIES[name](empty)
