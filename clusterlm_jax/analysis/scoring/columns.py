"""The rows of `scores.csv` column by column: a long run has millions, and each would be an object of its own."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.csv

from clusterlm_jax.records import ScoreRow, UserError

NUMBERS = {"seed": pyarrow.int64(), "epoch": pyarrow.int64(), "step": pyarrow.int64(), "value": pyarrow.float64()}
COLUMNS = tuple(field.name for field in dataclasses.fields(ScoreRow))
WORDS = tuple(name for name in COLUMNS if name not in NUMBERS)
HEADER = (",".join(COLUMNS) + "\n").encode()
FIRST_BACKEND = dataclasses.fields(ScoreRow)[-1].default
FORMER = (",".join(COLUMNS[:-1]) + "\n").encode()  # of earlier versions, whose only backend was the default
TO_NEAREST = ("knn_accuracy", "knn_task_accuracy")  # of still earlier ones, where ties went to the nearest neighbour


class Words(NamedTuple):
    """A column of words: the different ones, and which of them each row has, int [row]."""

    words: tuple[str, ...]
    code_M: np.ndarray

    def is_(self, word: str) -> np.ndarray:
        """bool [row]: whether it has this word."""
        return self.code_M == (self.words.index(word) if word in self.words else -1)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Rows as columns; the fields are those of `ScoreRow`. Numbers are int or float [row]."""

    run: Words
    seed: np.ndarray
    epoch: np.ndarray
    step: np.ndarray
    split: Words
    layer: Words
    label: Words
    reducer: Words
    score: Words
    value: np.ndarray
    backend: Words

    @classmethod
    def none(cls) -> Scores:
        """No rows."""
        return cls(**{name: np.zeros(0) if name in NUMBERS else Words((), np.zeros(0, int)) for name in COLUMNS})

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[ScoreRow]:
        columns = (getattr(self, name) for name in COLUMNS)
        return map(ScoreRow, *(_values(column) for column in columns))

    def __getitem__(self, index_M: np.ndarray) -> Scores:
        """The rows of an index, or those where it is True."""
        taken = {}
        for name in COLUMNS:
            column = getattr(self, name)
            words = isinstance(column, Words)
            taken[name] = column._replace(code_M=column.code_M[index_M]) if words else column[index_M]
        return Scores(**taken)

    def groups(self, *names: str) -> np.ndarray:
        """The number of the group of each row, int [row]: rows of a group have the same values in these columns."""
        group_M = np.zeros(len(self), int)
        for name in names:
            column = getattr(self, name)
            code_M = column.code_M if isinstance(column, Words) else np.unique(column, return_inverse=True)[1]
            group_M = group_M * (code_M.max(initial=0) + 1) + code_M
        return group_M


def read_scores(path: Path) -> Scores:
    """The rows of a table. A last line that was cut off when a process was killed is left out.

    Raises:
      UserError: if the file is not a table of scores, or is damaged.
    """
    content = path.read_bytes()
    header = next((header for header in (FORMER, HEADER) if content.startswith(header)), HEADER)
    if not header.startswith(content[: len(header)]):
        raise UserError(f"{path} is not a table of scores: its columns are not {', '.join(COLUMNS)}.")
    lines, names = memoryview(content)[len(header) : content.rfind(b"\n") + 1], header.decode().strip().split(",")
    if not lines:
        return Scores.none()
    return _as_named_today(_columns(path, lines, names, content.count(b"\n") - 1))


def _columns(path: Path, lines: memoryview, names: Sequence[str], rows: int) -> Scores:
    """The columns of so many whole lines."""
    types = {name: NUMBERS.get(name, pyarrow.dictionary(pyarrow.int32(), pyarrow.string())) for name in names}
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(pyarrow.py_buffer(lines)),
            pyarrow.csv.ReadOptions(column_names=list(names)),
            pyarrow.csv.ParseOptions(ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=types, null_values=[]),
        )
        if len(table) != rows:  # a quote that is open takes in the lines after it
            raise pyarrow.ArrowInvalid("a quote is open")
    except pyarrow.ArrowInvalid as error:
        raise UserError(
            f"{path} is damaged at line {_damaged(lines, len(names))}: delete all lines of its cell to score it again."
        ) from error
    found: dict[str, Any] = {"backend": Words((FIRST_BACKEND,), np.zeros(rows, np.int32))}
    for name, column in zip(names, table.unify_dictionaries().itercolumns(), strict=True):
        chunks = column.chunks
        if name in NUMBERS:
            found[name] = column.to_numpy()
        else:
            codes = [chunk.indices.to_numpy() for chunk in chunks]
            found[name] = Words(tuple(chunks[0].dictionary.to_pylist()), np.concatenate(codes))
    return Scores(**found)


def _damaged(lines: memoryview, columns: int) -> int:
    """The number of the first line that is no row, counted from 1, the header."""
    for number, line in enumerate(bytes(lines).decode(errors="replace").splitlines(), start=2):
        try:
            (fields,) = csv.reader([line])
            if len(fields) != columns or "\ufffd" in line:
                return number
            _ = [*map(int, fields[1:4]), float(fields[9])]
        except (ValueError, csv.Error):
            return number
    return number


def _as_named_today(scores: Scores) -> Scores:
    """The rows of an older table with accuracies by neighbours under their names."""
    words = scores.score.words
    if any(word.endswith("_nearest") for word in words):
        return scores
    named = tuple(f"{word}_nearest" if word in TO_NEAREST else word for word in words)
    return dataclasses.replace(scores, score=scores.score._replace(words=named))


def _values(column: Words | np.ndarray) -> Iterable[Any]:
    return map(column.words.__getitem__, column.code_M.tolist()) if isinstance(column, Words) else column.tolist()


def written(rows: Iterable[ScoreRow]) -> bytes:
    """The lines of rows. Values are read back exactly."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([*dataclasses.astuple(row)[:-2], repr(row.value), row.backend] for row in rows)
    return file.getvalue().encode()
