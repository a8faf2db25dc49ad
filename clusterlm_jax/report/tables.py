"""Tables: values, how seeds come together in one cell, and the two files that a table becomes."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np

NEVER = math.inf  # an epoch that was not reached
# Names of models and directories are data: not the end of a cell or of a line, nor HTML.
IN_MARKDOWN = str.maketrans({"|": "&#124;", "&": "&amp;", "<": "&lt;", "\n": " "})


@dataclasses.dataclass(frozen=True)
class Spread:
    """The values of several seeds. `mean` and `deviation` (the sample's) are not finite where a value is not."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            return float(np.std(self.values, ddof=1))

    def __str__(self) -> str:
        if never := sum(value == NEVER for value in self.values):
            return f"never in {never} of {len(self.values)} seeds"
        return f"{shown(self.mean)} ± {shown(self.deviation)}"


Value = str | int | float | Spread | None  # None: not run


def over_seeds(values: Sequence[float | None]) -> Value:
    """What a cell holds of the seeds' values: None if one is missing, the value if all are equal, else their spread."""
    if not values or None in values:
        return None
    return values[0] if len(set(values)) == 1 else Spread(tuple(values))


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of values."""

    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def side_by_side(head: Sequence[str], names: Iterable[str], rows: Iterable[tuple[Sequence, Sequence[Value]]]) -> Table:
    """A table with a column for every seed, layer or run; a row is what stands first in it, and its values."""
    return Table((*head, *names), tuple((*first, *values) for first, values in rows))


def shown(value: Value) -> str:
    """A value as a person reads it: three decimals, thousands apart; no finite number, in words."""
    if value is None:
        return "not run"
    if value == NEVER:
        return "never"
    if isinstance(value, float):
        return "undefined" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def markdown(table: Table) -> str:
    lines = [table.header, ("---",) * len(table.header), *(map(shown, row) for row in table.rows)]
    return "".join("| " + " | ".join(cell.translate(IN_MARKDOWN) for cell in line) + " |\n" for line in lines)


def comma_separated(table: Table) -> str:
    """CSV with every digit; a column with spreads becomes two, mean and deviation; what was not run is empty."""
    spread = [any(isinstance(row[place], Spread) for row in table.rows) for place in range(len(table.header))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_columns(table.header, spread, lambda name: (name, f"{name}, standard deviation")))
    writer.writerows(_columns(row, spread, _mean_and_deviation) for row in table.rows)
    return buffer.getvalue()


def _columns(row: Sequence[Value], spread: Sequence[bool], split) -> list[Value]:
    pairs = (split(value) if twice else (value,) for value, twice in zip(row, spread, strict=True))
    return [value for pair in pairs for value in pair]


def _mean_and_deviation(value: Value) -> tuple[Value, Value]:
    return (value.mean, value.deviation) if isinstance(value, Spread) else (value, None)
