"""Seconds that a cell of the analysis takes on one thread, and how much faster two workers are.

    .venv/bin/python -m benchmarks.evaluator [WIDTH]

The hidden states are random and have the sizes of the main experiment. The times depend on the sizes alone, except for
KMeans, whose number of iterations also depends on the data.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import command_line
from benchmarks.command_line import whole
from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import JOBS, SPLITS, HiddenStates, subset

LAYERS = ("1", "2", "3", "4")


def seconds_a_cell(directory: Path, job: str, workers: int) -> float:
    spec = AnalysisSpec(workers=workers, keep_hidden=True, jobs=(job,))
    table = ScoreTable(directory / f"{job}-{workers}.csv", spec)
    cells = cells_of("main", 0, 0, 0, ("validation",), LAYERS, spec)
    with Evaluator(spec, table, HiddenStore(directory / "hidden"), directory / "embeddings") as evaluator:
        start = time.perf_counter()
        evaluator.submit(cells)
        evaluator.drain()
        return (time.perf_counter() - start) / len(cells)


def measure(width: int) -> None:
    dataset = synthesise(DataSpec(), seed=0)
    labels = {**dataset.labels, "position": dataset.length_N - 2}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        store = HiddenStore(Path(name) / "hidden")
        for split in (*SPLITS, "training"):
            index = dataset.splits[split]
            hidden_LND = rng.normal(size=(len(LAYERS), len(index), width)).astype(np.float32)
            store.save(HiddenStates(hidden_LND, LAYERS, subset(labels, index), "main", 0, 0, 0, split))
        print(f"validation split of {len(dataset.splits['validation'])} instances, width {width}")
        for job in JOBS:
            one, two = (seconds_a_cell(Path(name), job, workers) for workers in (1, 2))
            print(f"{job:12} {one:6.2f} s a cell with one worker, {two:6.2f} with two: {one / two:4.2f} x")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("evaluator", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=768, metavar="WIDTH", help="of the hidden states")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
