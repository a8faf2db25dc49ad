"""Seconds and memory that a long table of scores takes to read, as curves for a page and to be resumed.

    .venv/bin/python -m benchmarks.reading [EPOCHS]

The table has every row of the main experiment at the paper's size, for so many analysed epochs, with random values. The
other side reads it with Python's csv module, an object for each row.
"""

from __future__ import annotations

import collections
import csv
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from clusterlm_jax.analysis.cells import REDUCER, cells_of, keys_of
from clusterlm_jax.analysis.scoring.columns import HEADER, read_scores, written
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.records import SPLITS, ScoreRow, layer_names
from clusterlm_jax.report.reading import curves_of
from clusterlm_jax.report.run import Key

SPEC = AnalysisSpec()


def write_table(path: Path, epochs: int) -> int:
    """Writes the table; returns its number of rows."""
    rng, rows = np.random.default_rng(0), 0
    with path.open("wb") as file:
        file.write(HEADER)
        for epoch in range(epochs):
            for cell in cells_of("main", 0, epoch, 100 * epoch, SPLITS, layer_names(6), SPEC):
                place = cell.run, cell.seed, cell.epoch, cell.step, cell.split, cell.layer
                keys = sorted(keys_of(cell, SPEC))
                lines = [ScoreRow(*place, label, REDUCER[cell.job], score, rng.random()) for label, score in keys]
                file.write(written(lines))
                rows += len(lines)
    return rows


def with_csv(path: Path) -> Callable[[], object]:
    def turn() -> object:
        curves = collections.defaultdict(dict)
        with path.open(newline="") as file:
            rows = [
                ScoreRow(
                    row["run"], int(row["seed"]), int(row["epoch"]), int(row["step"]), row["split"], row["layer"],
                    row["label"], row["reducer"], row["score"], float(row["value"]), row["backend"],
                )
                for row in csv.DictReader(file)
            ]  # fmt: skip
        for row in rows:
            curves[Key(row.split, row.layer, row.label, row.reducer, row.score)][row.epoch] = row.value
        return curves

    return turn


def by_columns(path: Path) -> Callable[[], object]:
    return lambda: curves_of(read_scores(path))


def opened(path: Path) -> Callable[[], object]:
    return lambda: ScoreTable(path, SPEC)


def measure(epochs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "scores.csv"
        rows = write_table(path, epochs)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB; medians of {measuring.REPEATS}")
        sides = {"curves, csv module": with_csv, "curves, by columns": by_columns, "to resume, by columns": opened}
        measured = measuring.in_turns({side: partial(make, path) for side, make in sides.items()})
        first = next(iter(measured.values())).seconds
        for side, of in measured.items():
            ratio = f"{first / of.seconds:5.1f} x the csv module"
            print(f"{side:24} {of.seconds:7.2f} s, {ratio}, peak memory {measuring.mib(of.host_mib)}")
        measuring.tell("reading", measured, rows=rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("reading", __doc__)
    parser.add_argument("epochs", nargs="?", type=whole, default=472, metavar="EPOCHS", help="that were analysed")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
