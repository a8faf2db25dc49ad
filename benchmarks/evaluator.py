"""One epoch's evaluation, job by job: ours beside the plain loop over scikit-learn (`benchmarks/plain.py`).

    .venv/bin/python -m benchmarks.evaluator [WIDTH] [LAYERS] [--workers=N] [--jobs raw knn ...]
        [--backends auto sklearn jax]

The hidden states are random, of the main experiment's sizes and with its labels, around a mean for each task and input,
so that there is something to find. Ours are scored as in a run, by worker processes that are there already; theirs run
in one process with the libraries' own threads.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import command_line, measuring, plain
from benchmarks.command_line import whole
from clusterlm_jax.analysis.cells import cells_of, label_columns
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import BACKENDS, VALIDATION_ONLY, AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import JOBS, SPLITS, Dataset, HiddenStates


def states(dataset: Dataset, width: int, layers: int) -> dict[str, HiddenStates]:
    """States by split."""
    rng = np.random.default_rng(0)
    size = [1 + int(dataset.labels[name].max()) for name in ("task", "input")]
    mean_TD, mean_SD = (rng.normal(size=(values, width)) for values in size)
    centre_ND = mean_TD[dataset.labels["task"]] + mean_SD[dataset.labels["input"]]
    found = {}
    for split in (*SPLITS, "training"):
        index = dataset.splits[split]
        hidden_LND = centre_ND[index] + rng.normal(size=(layers, len(index), width))
        names = tuple(map(str, range(1, layers + 1)))
        columns = dataset.columns(index)
        found[split] = HiddenStates(hidden_LND.astype(np.float32), names, columns, "main", 0, 0, 0, split)
    return found


def ours(job: str, width: int, layers: int, workers: int, backend: str) -> Callable[[], object]:
    """Scores an epoch's cells of a job; at every call another epoch, with the same states."""
    place = tempfile.TemporaryDirectory(prefix="clusterlm_jax-benchmark-")
    root, spec = Path(place.name), AnalysisSpec(jobs=(job,), workers=workers, backend=backend, keep_hidden=True)
    store, table = HiddenStore(root / "hidden", owner=True), ScoreTable(root / "scores.csv", spec)
    evaluator = Evaluator(spec, table, store, root / "embeddings")
    for given in states(synthesise(DataSpec(), seed=0), width, layers).values():
        store.save(given)
    epochs = itertools.count(1)

    def turn() -> None:
        epoch, saved = next(epochs), root / "hidden/main/seed=0"
        shutil.copytree(saved / "epoch=0000", saved / f"epoch={epoch:04d}", copy_function=os.link)
        evaluator.submit(cells_of("main", 0, epoch, 0, SPLITS, given.layers, spec))
        evaluator.drain()

    turn.keeps = place  # else it would be removed now
    return turn


def theirs(job: str, width: int, layers: int) -> Callable[[], object]:
    """The plain loop over the same layers and splits."""
    given, spec = states(synthesise(DataSpec(), seed=0), width, layers), AnalysisSpec()
    reference, rng = given["training"], np.random.default_rng(0)
    columns = {split: label_columns(of.labels) for split, of in given.items()}

    def turn() -> None:
        for split in SPLITS if job not in VALIDATION_ONLY else ("validation",):
            for hidden_ND, reference_MD in zip(given[split].hidden_LND, reference.hidden_LND, strict=True):
                layer = plain.Layer(hidden_ND, columns[split], reference_MD, columns["training"])
                plain.JOBS[job](layer, spec, rng)

    return turn


def measure(width: int, layers: int, workers: int, jobs: Sequence[str], backends: Sequence[str]) -> None:
    print(f"an epoch of {layers} layers of width {width}, both splits; medians of {measuring.REPEATS}; peak memory of")
    print("the plain loop, and of ours without its workers: of the host, and of an accelerator")
    print(f"{'job':14} {'plain, s':>10}", *(f"{f'{backend}, s':>12} {'ratio':>8}" for backend in backends))
    measured = {}
    for job in jobs:
        sides = {"plain": partial(theirs, job, width, layers)}
        sides |= {backend: partial(ours, job, width, layers, workers, backend) for backend in backends}
        found = measuring.in_turns(sides)
        measured |= {f"{job}, {side}": of for side, of in found.items()}
        memory = ", ".join(f"{measuring.mib(of.host_mib)} {measuring.mib(of.device_mib)}" for of in found.values())
        show(job, [of.seconds for of in found.values()], memory)
    show("all", [sum(measured[f"{job}, {side}"].seconds for job in jobs) for side in ("plain", *backends)])
    ceilings = measuring.in_turns(measuring.ceilings())
    print(
        "the machine: {:.0f} GFLOP/s of a matrix product, {:.1f} GB/s of a copy".format(
            *measuring.ceilings_of(ceilings)
        )
    )
    measuring.tell("evaluator", measured | ceilings, width=width, layers=layers, workers=workers)


def show(job: str, seconds: Sequence[float], memory: str = "") -> None:
    """A line: the plain loop, then ours by backend and how many times as fast each is."""
    plain_s, *our_s = seconds
    print(f"{job:14} {plain_s:10.3f}", *(f"{of:12.3f} {plain_s / of:7.1f}x" for of in our_s), f"  {memory}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("evaluator", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=768, metavar="WIDTH", help="of the hidden states")
    parser.add_argument("layers", nargs="?", type=whole, default=2, metavar="LAYERS", help="of the epoch")
    parser.add_argument("--workers", type=whole, default=2, metavar="N", help="processes that score cells")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS, help="what to evaluate")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=("auto",), help="eval.backend of ours")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
