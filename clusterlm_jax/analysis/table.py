"""`scores.csv`: one number per row, appended in whole cells as they are scored."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from clusterlm_jax.analysis.cells import Key, job_of, keys_of
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import Cell, ScoreRow, UserError, write_atomically

COLUMNS = tuple(field.name for field in dataclasses.fields(ScoreRow))
HEADER = ",".join(COLUMNS) + "\n"
FORMER = ",".join(COLUMNS[:-1]) + "\n"  # of earlier versions, whose only backend was the default


def read_rows(path: Path) -> list[ScoreRow]:
    """The rows of a table. A last line that was cut off when a process was killed is left out.

    Raises:
      UserError: if the file is not a table of scores.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    header = FORMER if text.startswith(FORMER) else HEADER
    if not header.startswith(text[: len(header)]):
        raise UserError(f"{path} is not a table of scores: its columns are not {', '.join(COLUMNS)}.")
    lines = text[: text.rfind("\n") + 1].splitlines()
    return _as_named_today(list(_parse(path, lines[1:], header.count(","))))


def _parse(path: Path, lines: list[str], commas: int) -> Iterator[ScoreRow]:
    for number, line in enumerate(lines, start=2):
        try:
            (fields,) = csv.reader([line])
            if len(fields) != commas + 1:
                raise ValueError(fields)
            # Millions of rows share few names.
            run, split, layer, label, reducer, score, *backend = map(
                sys.intern, (fields[0], *fields[4:9], *fields[10:])
            )
            seed, epoch, step = map(int, fields[1:4])
            yield ScoreRow(run, seed, epoch, step, split, layer, label, reducer, score, float(fields[9]), *backend)
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{path} is damaged at line {number}: delete all lines of its cell to score it again."
            ) from error


def _as_named_today(rows: list[ScoreRow]) -> list[ScoreRow]:
    """The rows of an older table, where both accuracies by neighbours gave ties to the nearest, under their names."""
    if any(row.score.endswith("_nearest") for row in rows):
        return rows
    old = {"knn_accuracy", "knn_task_accuracy"}
    return [dataclasses.replace(row, score=f"{row.score}_nearest") if row.score in old else row for row in rows]


class ScoreTable:
    """A table that grows by whole cells, each of them once.

    A cell is written in one write, so a killed process can leave an incomplete cell only at the end of the file.
    Opening the table drops that one.

    Raises:
      UserError: if any other cell is incomplete.
    """

    def __init__(self, path: Path, spec: AnalysisSpec) -> None:
        self._path, self._spec = path, spec
        cells = self._read()
        missing = {cell: keys_of(cell, spec) - rows.keys() for cell, rows in cells.items()}
        if cells and missing[last := next(reversed(cells))]:
            del cells[last], missing[last]
        for cell, keys in missing.items():
            if keys:
                raise UserError(
                    f"{path} lacks {len(keys)} scores of the cell {cell.name} (the first: {' '.join(min(keys))}), so "
                    "it is damaged, or another version wrote it: use a new --workdir, or, if the hidden states were "
                    "kept, delete the file to score them again."
                )
        self._keep(cells)

    def done(self, cell: Cell) -> bool:
        return cell in self._done

    def append(self, cell: Cell, rows: Iterable[ScoreRow]) -> None:
        """Adds the rows of a cell in one write.

        Raises:
          UserError: if they cannot be written, as on a full disk. The table is then unchanged.
        """
        rows = list(rows)
        if {(row.label, row.score) for row in rows} != keys_of(cell, self._spec) or cell in self._done:
            raise ValueError(f"{cell.name}: not the rows of a new cell.")
        try:
            self._write(rows)
        except OSError as error:
            raise UserError(f"Scores could not be written to {self._path}: {error.strerror}.") from error
        self._done.add(cell)

    def drop_after(self, run: str, epoch: int) -> None:
        """Drops the rows of a run for epochs later than `epoch`, for all seeds."""
        late = {cell for cell in self._done if cell.run == run and cell.epoch > epoch}
        if late:
            self._keep({cell: rows for cell, rows in self._read().items() if cell not in late})

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

    def _read(self) -> dict[Cell, dict[Key, ScoreRow]]:
        """The rows of each cell, cells in the order of the file. Of repeated rows the first counts."""
        cells: dict[Cell, dict[Key, ScoreRow]] = collections.defaultdict(dict)
        for row in read_rows(self._path) if self._path.exists() else ():
            job = job_of(row.reducer, row.score)
            cell = Cell(row.run, row.seed, row.epoch, row.step, row.split, row.layer, job)
            cells[cell].setdefault((row.label, row.score), row)
        return cells

    def _keep(self, cells: Mapping[Cell, Mapping[Key, ScoreRow]]) -> None:
        """Sets which cells are done, and rewrites the file if it has anything else."""
        self._done = set(cells)
        text = HEADER + "".join(_lines(rows.values()) for rows in cells.values())
        if self._path.exists() and text.encode() != self._path.read_bytes():
            write_atomically(self._path, lambda path: path.write_bytes(text.encode()))


def _lines(rows: Iterable[ScoreRow]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([*dataclasses.astuple(row)[:-2], repr(row.value), row.backend] for row in rows)
    return file.getvalue()
