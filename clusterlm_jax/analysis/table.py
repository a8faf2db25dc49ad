"""`scores.csv`: one number per row, appended in whole cells as they are scored."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clusterlm_jax.analysis.cells import Key, job_of, keys_of
from clusterlm_jax.analysis.scoring.columns import FIRST_BACKEND, FORMER, HEADER, Scores, read_scores, written
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import JOBS, Cell, ScoreRow, UserError, write_atomically


def read_rows(path: Path) -> list[ScoreRow]:
    """The rows of a table, an object each; `read_scores` reads long ones faster.

    Raises:
      UserError: if the file is not a table of scores, or is damaged.
    """
    return list(read_scores(path))


class ScoreTable:
    """A table that grows by whole cells, each of them once.

    A cell is written in one write, so a killed process can leave an incomplete cell only at the end of the file.
    Opening the table drops that one.

    Raises:
      UserError: if any other cell is incomplete.
    """

    def __init__(self, path: Path, spec: AnalysisSpec) -> None:
        self._path, self._spec = path, spec
        self._done: set[Cell] = set()
        if path.exists():
            self._open(read_scores(path))

    def _open(self, scores: Scores) -> None:
        cells, cell_M = _cells(scores)
        missing = self._missing(scores, cells, cell_M)
        whole = len(cells) - (len(cells) - 1 in missing)  # without the last, if it is incomplete
        for number in missing:
            if number < whole:
                keys = missing[number]
                raise UserError(
                    f"{self._path} lacks {len(keys)} scores of the cell {cells[number].name} (the first: "
                    f"{' '.join(min(keys))}), so it is damaged, or another version wrote it: use a new --workdir, or, "
                    "if the hidden states were kept, delete the file to score them again."
                )
        self._done = set(cells[:whole])
        self._keep(scores, (cell_M < whole) & _first(cell_M, scores.groups("label", "score")))

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
            scores = read_scores(self._path)
            self._done -= late
            self._keep(scores, ~(scores.run.is_(run) & (scores.epoch > epoch)))

    def _write(self, rows: list[ScoreRow]) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                file.write(written(rows) if size else HEADER + written(rows))
        except OSError:
            if self._path.exists():
                os.truncate(self._path, size)
            raise

    def _missing(self, scores: Scores, cells: list[Cell], cell_M: np.ndarray) -> dict[int, list[Key]]:
        """The scores that incomplete cells lack, by their numbers."""
        _, first, key_M = np.unique(scores.groups("label", "score"), return_index=True, return_inverse=True)
        place = {(row.label, row.score): column for column, row in enumerate(scores[first])}
        there = np.zeros((len(cells), len(place) + 1), bool)  # the last column is of scores that no cell has
        there[cell_M, key_M] = True
        wanted, missing = {}, {}
        for number, cell in enumerate(cells):
            kind = cell.job, cell.split  # on which alone the scores depend
            if kind not in wanted:
                keys = list(keys_of(cell, self._spec))
                wanted[kind] = keys, [place.get(key, -1) for key in keys]
            keys, columns = wanted[kind]
            if not there[number, columns].all():
                missing[number] = [key for key, has in zip(keys, there[number, columns], strict=True) if not has]
        return missing

    def _keep(self, scores: Scores, kept_M: np.ndarray) -> None:
        """Rewrites the file if it has anything else than these of its rows."""
        content = self._path.read_bytes()
        if content.startswith(FORMER):
            content = HEADER + content[len(FORMER) :].replace(b"\n", f",{FIRST_BACKEND}\n".encode())
        elif content.startswith(HEADER) and content.endswith(b"\n") and kept_M.all():
            return
        end_M = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1  # of the header, of each row
        changes = np.flatnonzero(np.diff(kept_M, prepend=False, append=False)).reshape(-1, 2)
        lines = (content[end_M[start] : end_M[stop]] for start, stop in changes)
        write_atomically(self._path, lambda path: path.write_bytes(b"".join([HEADER, *lines])))


def _cells(scores: Scores) -> tuple[list[Cell], np.ndarray]:
    """The cells in the order of the file, and the number of each row's, int [row]."""
    _, first, pair_M = np.unique(scores.groups("reducer", "score"), return_index=True, return_inverse=True)
    job_M = np.array([JOBS.index(job_of(row.reducer, row.score)) for row in scores[first]], int)[pair_M]
    place_M = scores.groups("run", "seed", "epoch", "step", "split", "layer") * len(JOBS) + job_M
    _, first, cell_M = np.unique(place_M, return_index=True, return_inverse=True)
    order = np.argsort(first)
    cells = [
        Cell(row.run, row.seed, row.epoch, row.step, row.split, row.layer, JOBS[job])
        for row, job in zip(scores[first[order]], job_M[first[order]], strict=True)
    ]
    return cells, np.argsort(order)[cell_M]


def _first(cell_M: np.ndarray, key_M: np.ndarray) -> np.ndarray:
    """bool [row]: whether no earlier row has the same score of the same cell."""
    first_M = np.zeros(len(cell_M), bool)
    first_M[np.unique(cell_M * (key_M.max(initial=0) + 1) + key_M, return_index=True)[1]] = True
    return first_M
