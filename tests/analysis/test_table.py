"""`scores.csv`: rows are read as written, only whole cells count, and a damaged file is named."""

from __future__ import annotations

import dataclasses
import math
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterlm_jax.analysis.cells import keys_of
from clusterlm_jax.analysis.scoring.columns import HEADER
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable, read_rows
from clusterlm_jax.records import Cell, ScoreRow, UserError

Rows = Callable[..., tuple[ScoreRow, ...]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Writes are cut off at `size` bytes and then fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def filled(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> ScoreTable:
    table = ScoreTable(path, spec)
    for cell in cells:
        table.append(cell, rows_of(cell))
    return table


def test_values_are_read_back_exactly(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    """Breaks when values are rounded. The run's name has characters that csv must quote."""
    values = [0.1 + 0.2, 1 / 3, 1.0, -1e-17, 5e-324]
    odd = Cell('null, "untrained"/x=1', 0, 0, 0, "validation", "1", "raw")
    table, expected = ScoreTable(path, spec), []
    for cell, value in zip([odd, *cells], values, strict=False):
        expected += rows_of(cell, value)
        table.append(cell, rows_of(cell, value))
    assert read_rows(path) == expected
    assert path.read_text().startswith("run,seed,epoch,step,split,layer,label,reducer,score,value,backend\n")
    assert ScoreTable(path, spec).done(odd)


def test_opening_a_complete_table_does_not_change_it(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows
) -> None:
    filled(path, spec, cells, rows_of)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    table = ScoreTable(path, spec)
    assert all(table.done(cell) for cell in cells)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, written)


@pytest.mark.parametrize("lost", [1, 10, 40, 200])
def test_a_half_written_last_cell_is_dropped(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, lost: int
) -> None:
    """The last `lost` bytes were not written: part of a line, or several lines."""
    filled(path, spec, cells[:2], rows_of)
    whole = path.read_bytes()
    ScoreTable(path, spec).append(cells[2], rows_of(cells[2]))
    path.write_bytes(path.read_bytes()[:-lost])
    table = ScoreTable(path, spec)
    assert [table.done(cell) for cell in cells[:3]] == [True, True, False]
    assert path.read_bytes() == whole
    table.append(cells[2], rows_of(cells[2]))
    assert read_rows(path) == [row for cell in cells[:3] for row in rows_of(cell)]


@pytest.mark.parametrize("kept", [0, 1, 12, len(HEADER)])
def test_a_half_written_header_is_an_empty_table(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, kept: int
) -> None:
    path.write_bytes(HEADER[:kept])
    filled(path, spec, cells[:1], rows_of)
    assert read_rows(path) == list(rows_of(cells[0]))


def test_only_new_complete_cells_are_accepted(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    table = filled(path, spec, cells[:1], rows_of)
    before = path.read_bytes()
    for cell, rows in ((cells[0], rows_of(cells[0])), (cells[1], rows_of(cells[1])[:-1]), (cells[1], ())):
        with pytest.raises(ValueError, match="not the rows of a new cell"):
            table.append(cell, rows)
    assert path.read_bytes() == before
    assert not table.done(cells[1])


@pytest.mark.parametrize("content", [b"epoch,loss\n1,2\n", b"no newline", b"\x89PNG\r\n\x1a\n\xff\xfe"])
def test_another_file_is_refused_and_not_changed(path: Path, spec: AnalysisSpec, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"scores\.csv is not a table of scores"):
        ScoreTable(path, spec)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["main,0,0", "main,zero,0,0,a,b,c,d,e,1,jax", "main,0,0,0,a,b,c,d,e,1", '"main', ""])
def test_a_damaged_line_is_named(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, damage: str) -> None:
    filled(path, spec, cells[:1], rows_of)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], damage, *lines[3:]]) + "\n")
    with pytest.raises(UserError, match=r"scores\.csv is damaged at line 4"):
        ScoreTable(path, spec)


def test_an_older_table_has_rows_of_the_first_backend(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows
) -> None:
    """It had no such column. Opened to be continued, it gets one."""
    rows = [dataclasses.replace(row, backend="jax") for row in rows_of(cells[1])]
    filled(path, spec, cells[:1], rows_of)
    whole = path.read_text()
    path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in whole.splitlines()))
    assert read_rows(path) == list(rows_of(cells[0]))
    ScoreTable(path, spec).append(cells[1], rows)
    assert path.read_text().startswith(whole)
    assert read_rows(path) == [*rows_of(cells[0]), *rows]


def test_later_epochs_are_dropped(path: Path, spec: AnalysisSpec, rows_of: Rows) -> None:
    cells = [Cell("main", 0, epoch, epoch, "validation", "1", "knn") for epoch in (0, 2, 4)]
    table = filled(path, spec, cells, rows_of)
    table.drop_after("main", 2)
    assert [table.done(cell) for cell in cells] == [True, True, False]
    assert read_rows(path) == [row for cell in cells[:2] for row in rows_of(cell)]
    table.append(cells[2], rows_of(cells[2], 0.25))
    assert read_rows(path)[-1].value == 0.25


def test_epochs_are_dropped_for_one_run_and_all_its_seeds(path: Path, spec: AnalysisSpec, rows_of: Rows) -> None:
    places = [(run, seed, epoch) for run in ("main", "null/symbols") for seed in (0, 1) for epoch in (0, 3)]
    cells = {place: Cell(*place, 10, "validation", "0", "knn") for place in places}
    table = filled(path, spec, list(cells.values()), rows_of)
    table.drop_after("main", 0)
    left = [place for place in places if place[0] != "main" or place[2] == 0]
    for opened in (table, ScoreTable(path, spec)):
        assert [place for place, cell in cells.items() if opened.done(cell)] == left
    written = path.stat().st_mtime_ns
    table.drop_after("main", 0)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("which", [0, 1])
def test_an_incomplete_cell_before_the_last_is_refused(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, which: int
) -> None:
    """Breaks when such cells are silently dropped: their states may be deleted, so they could not be scored again."""
    filled(path, spec, cells[:3], rows_of)
    lines = path.read_text().splitlines(keepends=True)
    first = 1 + sum(len(rows_of(cell)) for cell in cells[:which])
    path.write_text("".join([*lines[:first], *lines[first + 2 :]]))
    before, lost = path.read_bytes(), rows_of(cells[which])[0]
    with pytest.raises(UserError, match="use a new --workdir") as refusal:
        ScoreTable(path, spec)
    assert f"lacks 2 scores of the cell {cells[which].name} (the first: {lost.label} {lost.score})" in str(
        refusal.value
    )
    assert path.read_bytes() == before


def test_a_table_with_fewer_scores_is_refused(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    """As a table written before there were null labels. Additional rows are allowed."""
    fewer = dataclasses.replace(spec, null_draws=0)
    table = ScoreTable(path, fewer)
    for cell in cells[:2]:
        table.append(cell, [row for row in rows_of(cell) if (row.label, row.score) in keys_of(cell, fewer)])
    with pytest.raises(UserError, match=f"lacks 12 scores of the cell {cells[0].name} .*another version"):
        ScoreTable(path, spec)
    path.unlink()
    filled(path, spec, cells[:2], rows_of)
    before = path.read_bytes()
    table = ScoreTable(path, fewer)
    assert all(table.done(cell) for cell in cells[:2])
    assert path.read_bytes() == before


def test_an_older_table_keeps_its_accuracies_under_the_name_they_have_now(
    path: Path, spec: AnalysisSpec, rows_of: Rows
) -> None:
    """There ties went to the nearest neighbour. Breaks when they are shown, or resumed, as scikit-learn's."""
    cells = [Cell("main", 0, epoch, epoch, "validation", "1", "knn") for epoch in (0, 1)]
    filled(path, spec, cells, rows_of)
    lines = [line for line in path.read_text().splitlines(keepends=True) if "_nearest" not in line]
    path.write_text("".join(lines))
    rows = read_rows(path)
    assert len(rows) == len(lines) - 1
    named = {row.score for row in rows if "accuracy" in row.score}
    assert named == {"knn_accuracy_nearest", "knn_task_accuracy_nearest"}
    with pytest.raises(UserError, match="another version wrote it"):
        ScoreTable(path, spec)


def test_nan_is_a_value(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    """As the share of hard examples if there are none."""
    filled(path, spec, cells[:1], lambda cell: rows_of(cell, float("nan")))
    assert all(math.isnan(row.value) for row in read_rows(path))
    assert ScoreTable(path, spec).done(cells[0])


def test_a_full_disk_leaves_the_table_unchanged(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows
) -> None:
    """Half of the rows fit. Breaks when they stay: later rows would follow them, and the table would be damaged."""
    table = filled(path, spec, cells[:1], rows_of)
    before = path.read_bytes()
    with (
        no_file_longer_than(len(before) + 600),
        pytest.raises(UserError, match=r"could not be written to .*scores\.csv"),
    ):
        table.append(cells[1], rows_of(cells[1]))
    assert path.read_bytes() == before
    assert not table.done(cells[1])
    table.append(cells[1], rows_of(cells[1]))
    assert read_rows(path) == [*rows_of(cells[0]), *rows_of(cells[1])]


def test_a_disk_that_is_full_from_the_start(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    table = ScoreTable(path, spec)
    with no_file_longer_than(10), pytest.raises(UserError, match="could not be written"):
        table.append(cells[0], rows_of(cells[0]))
    table.append(cells[0], rows_of(cells[0]))
    assert read_rows(path) == list(rows_of(cells[0]))
