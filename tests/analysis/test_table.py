"""`scores.csv`: what was written comes back, whole cells only, and a damaged file is named."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import HEADER, ScoreTable, read_rows
from clusterlm_jax.records import Cell, ScoreRow, UserError

Rows = Callable[..., tuple[ScoreRow, ...]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Writes beyond `size` are cut short and then fail, as on a full disk."""
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


def test_values_come_back_exactly(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    """Breaks when values are rounded. A run's name may hold what csv has to quote."""
    values = [0.1 + 0.2, 1 / 3, 1.0, -1e-17, 5e-324]
    odd = Cell('null, "untrained"/x=1', 0, 0, 0, "validation", "1", "raw")
    table, expected = ScoreTable(path, spec), []
    for cell, value in zip([odd, *cells], values, strict=False):
        expected += rows_of(cell, value)
        table.append(cell, rows_of(cell, value))
    assert read_rows(path) == expected
    assert path.read_text().startswith("run,seed,epoch,step,split,layer,label,reducer,score,value\n")
    assert ScoreTable(path, spec).done(odd)


def test_opening_a_whole_table_leaves_it_alone(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows
) -> None:
    filled(path, spec, cells, rows_of)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    table = ScoreTable(path, spec)
    assert all(table.done(cell) for cell in cells)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, written)


@pytest.mark.parametrize("lost", [1, 10, 40, 200])
def test_whatever_a_kill_left_of_a_cell_is_dropped(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, lost: int
) -> None:
    """`lost` bytes of the last cell were not written: part of a line, or of several."""
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
def test_a_torn_header_is_an_empty_table(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, kept: int
) -> None:
    path.write_text(HEADER[:kept])
    filled(path, spec, cells[:1], rows_of)
    assert read_rows(path) == list(rows_of(cells[0]))


def test_only_new_and_whole_cells_are_taken(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    table = filled(path, spec, cells[:1], rows_of)
    before = path.read_bytes()
    for cell, rows in ((cells[0], rows_of(cells[0])), (cells[1], rows_of(cells[1])[:-1]), (cells[1], ())):
        with pytest.raises(ValueError, match="not the rows of a new cell"):
            table.append(cell, rows)
    assert path.read_bytes() == before
    assert not table.done(cells[1])


@pytest.mark.parametrize("content", [b"epoch,loss\n1,2\n", b"no newline", b"\x89PNG\r\n\x1a\n\xff\xfe"])
def test_a_foreign_file_is_refused_and_left_alone(path: Path, spec: AnalysisSpec, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"scores\.csv is not a table of scores"):
        ScoreTable(path, spec)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["main,0,0", "main,zero,0,0,a,b,c,d,e,1", "main,0,0,0,a,b,c,d,e,1,2", '"main', ""])
def test_a_damaged_line_is_named(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows, damage: str) -> None:
    filled(path, spec, cells[:1], rows_of)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], damage, *lines[3:]]) + "\n")
    with pytest.raises(UserError, match=r"scores\.csv is damaged at line 4"):
        ScoreTable(path, spec)


def test_epochs_of_an_abandoned_future_are_dropped(path: Path, spec: AnalysisSpec, rows_of: Rows) -> None:
    cells = [Cell("main", 0, epoch, epoch, "validation", "1", "knn") for epoch in (0, 2, 4)]
    table = filled(path, spec, cells, rows_of)
    table.drop_after(2)
    assert [table.done(cell) for cell in cells] == [True, True, False]
    assert read_rows(path) == [row for cell in cells[:2] for row in rows_of(cell)]
    table.append(cells[2], rows_of(cells[2], 0.25))
    assert read_rows(path)[-1].value == 0.25


def test_a_full_disk_leaves_the_table_as_before(
    path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows
) -> None:
    """Half the rows fit. Breaks when what was half written stays: it would be damage in the middle of the table."""
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


def test_a_disk_full_from_the_start(path: Path, spec: AnalysisSpec, cells: list[Cell], rows_of: Rows) -> None:
    table = ScoreTable(path, spec)
    with no_file_longer_than(10), pytest.raises(UserError, match="could not be written"):
        table.append(cells[0], rows_of(cells[0]))
    table.append(cells[0], rows_of(cells[0]))
    assert read_rows(path) == list(rows_of(cells[0]))
