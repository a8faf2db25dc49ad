"""Rows column by column: as they were written, through every block of a long file, and grouped by their columns."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.analysis.scoring.columns import COLUMNS, HEADER, Scores, read_scores, written
from clusterlm_jax.records import ScoreRow, UserError

ROWS = [
    ScoreRow("main", seed, epoch, 7 * epoch, split, f"{layer}", label, "none", score, (-1) ** layer / (1 + epoch))
    for seed, epoch, layer in itertools.product((0, 2**40), range(100), range(12))
    for split, label, score in itertools.product(("validation", 'a "new", split'), ("task", "été"), ("f1", "ari"))
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_bytes(HEADER + written(ROWS))
    return path


def test_a_file_of_several_blocks_has_the_rows_that_the_csv_module_finds(path: Path) -> None:
    """The last rows have words that no block before has. Breaks when words are numbered block by block."""
    late = [ScoreRow("late", 0, 0, 0, "s", "0", "task", "tsne", "f1", float("inf"), "jax")]
    path.write_bytes(HEADER + written([*ROWS, *late]))
    assert path.stat().st_size > 2**20  # a block
    with path.open(newline="") as file:
        plain = [tuple(fields) for fields in csv.reader(file)]
    rows = list(read_scores(path))
    assert rows == [*ROWS, *late]
    assert [tuple(str(getattr(row, name)) for name in COLUMNS) for row in rows] == plain[1:]


def test_rows_are_chosen_and_grouped_by_their_columns(path: Path) -> None:
    scores = read_scores(path)
    chosen = scores[scores.label.is_("été") & (scores.epoch == 3)]
    assert list(chosen) == [row for row in ROWS if (row.label, row.epoch) == ("été", 3)]
    assert not scores.run.is_("no such run").any()
    names = ("seed", "layer", "score")
    by_number: dict[int, set[tuple]] = {}
    for number, row in zip(scores.groups(*names).tolist(), ROWS, strict=True):
        by_number.setdefault(number, set()).add(tuple(getattr(row, name) for name in names))
    assert len(by_number) == 2 * 12 * 2
    assert all(len(group) == 1 for group in by_number.values())


def test_a_table_without_rows_has_the_same_columns(path: Path) -> None:
    path.write_bytes(HEADER + b"main,0,0,0,cut off")
    for none in (read_scores(path), Scores.none()):
        assert list(none) == list(none[np.isfinite(none.value)]) == []
        assert none.groups(*COLUMNS).tolist() == []


@pytest.mark.parametrize(
    "damage",
    [b'"main,0,0,0,s,0,task,none,f1,1,sklearn', b"\xff\xfe,0,0,0,s,0,task,none,f1,1,sklearn", b"main" * 10_000, b""],
    ids=["an open quote", "no UTF-8", "a line longer than any", "empty"],
)
@pytest.mark.parametrize("number", [2, 12_000, len(ROWS) + 2], ids=["first", "in a later block", "last"])
def test_a_damaged_line_is_named_wherever_it_is(path: Path, damage: bytes, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[: number - 1], damage + b"\n", *lines[number - 1 :]]))
    with pytest.raises(UserError, match=rf"scores\.csv is damaged at line {number}: "):
        read_scores(path)
