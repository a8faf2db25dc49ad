"""`scores.csv`: tidy rows, whole cells, appended as they come."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from clusterlm_jax.analysis.cells import Key, job_of, keys_of
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import Cell, ScoreRow, UserError, write_atomically

COLUMNS = tuple(field.name for field in dataclasses.fields(ScoreRow))
HEADER = ",".join(COLUMNS) + "\n"


def read_rows(path: Path) -> list[ScoreRow]:
    """The rows of a table; a last line torn by a kill is left out.

    Raises:
      UserError: if the file is no table of scores.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not HEADER.startswith(text[: len(HEADER)]):
        raise UserError(f"{path} is not a table of scores: its columns are not {', '.join(COLUMNS)}.")
    lines = text[: text.rfind("\n") + 1].splitlines()
    return list(_parse(path, lines[1:]))


def _parse(path: Path, lines: list[str]) -> Iterator[ScoreRow]:
    for number, line in enumerate(lines, start=2):
        try:
            ((run, seed, epoch, step, split, layer, label, reducer, score, value),) = csv.reader([line])
            yield ScoreRow(run, int(seed), int(epoch), int(step), split, layer, label, reducer, score, float(value))
        except (ValueError, csv.Error) as error:
            raise UserError(f"{path} is damaged at line {number}: delete that line to score its cell again.") from error


class ScoreTable:
    """The table while it grows: only whole cells, each once.

    Opening drops what a killed process left of a cell.
    """

    def __init__(self, path: Path, spec: AnalysisSpec) -> None:
        self._path, self._spec = path, spec
        self._done: set[Cell] = set()
        self._keep_rows(lambda row: True)

    def done(self, cell: Cell) -> bool:
        return cell in self._done

    def append(self, cell: Cell, rows: Iterable[ScoreRow]) -> None:
        """Adds the rows of a cell in one write.

        Raises:
          UserError: if they cannot be written, as on a full disk; the table is then as before.
        """
        rows = list(rows)
        if {(row.label, row.score) for row in rows} != keys_of(cell.job, self._spec) or cell in self._done:
            raise ValueError(f"{cell.name}: not the rows of a new cell.")
        try:
            self._write(rows)
        except OSError as error:
            raise UserError(f"Scores could not be written to {self._path}: {error.strerror}.") from error
        self._done.add(cell)

    def drop_after(self, epoch: int) -> None:
        """Drops the rows of epochs later than `epoch`."""
        if any(cell.epoch > epoch for cell in self._done):
            self._keep_rows(lambda row: row.epoch <= epoch)

    def _write(self, rows: list[ScoreRow]) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        text = _lines(rows) if size else HEADER + _lines(rows)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            if self._path.exists():
                os.truncate(self._path, size)
            raise

    def _keep_rows(self, wanted: Callable[[ScoreRow], bool]) -> None:
        """Reads the file and rewrites it without unwanted or repeated rows and incomplete cells, if it has any."""
        self._done = set()
        if not self._path.exists():
            return
        by_cell: dict[Cell, dict[Key, ScoreRow]] = collections.defaultdict(dict)
        for row in filter(wanted, read_rows(self._path)):
            job = job_of(row.reducer, row.score)
            cell = Cell(row.run, row.seed, row.epoch, row.step, row.split, row.layer, job)
            by_cell[cell].setdefault((row.label, row.score), row)
        kept = {cell: rows for cell, rows in by_cell.items() if rows.keys() >= keys_of(cell.job, self._spec)}
        self._done = set(kept)
        text = HEADER + "".join(_lines(rows.values()) for rows in kept.values())
        if text.encode() != self._path.read_bytes():
            write_atomically(self._path, lambda path: path.write_bytes(text.encode()))


def _lines(rows: Iterable[ScoreRow]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([*dataclasses.astuple(row)[:-1], repr(row.value)] for row in rows)
    return file.getvalue()
