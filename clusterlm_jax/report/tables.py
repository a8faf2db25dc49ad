"""The tables: ours beside the paper's (tables 2 and 9), and the scores in numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable

from clusterlm_jax.report.run import Run
from clusterlm_jax.report.timing import NEVER

Value = str | int | float | None  # None: not run
PAPER_SIZES = {"training": 7300, "training_subset": 180, "validation": 315}
PAPER_MODELS = {32: "55 thousand", 256: "3 million", 768: "23 million", 2048: "202 million"}

F1_DEFINITIONS = {
    "f1": "f1: clusters matched one to one with classes, mean over classes",
    "f1_majority": "f1_majority: each cluster takes its majority class",
    "f1_max_overlap": "f1_max_overlap: each class takes its best cluster",
    "f1_pairwise": "f1_pairwise: over pairs of instances",
    "f1_bcubed": "f1_bcubed: B-cubed, over instances",
    "purity": "purity",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of values; a value that was not run is None."""

    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclasses.dataclass(frozen=True)
class TableEntry:
    """A table of the report: the name of its files, its heading, what to read in it, and how to make it."""

    name: str
    title: str
    note: str
    make: Callable[[Run], Table]


def shown(value: Value) -> str:
    """A value as a person reads it: three decimals, thousands apart; what is no finite number, in words."""
    if value is None:
        return "not run"
    if value == NEVER:
        return "never"
    if isinstance(value, float):
        return "undefined" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else value


def markdown(table: Table) -> str:
    lines = [table.header, ("---",) * len(table.header), *(tuple(map(shown, row)) for row in table.rows)]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def comma_separated(table: Table) -> str:
    """CSV with every digit of the numbers; what was not run is left empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.header, *table.rows])
    return buffer.getvalue()
