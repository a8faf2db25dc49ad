"""One epoch's evaluation, job by job: ours beside the plain loop over scikit-learn (`benchmarks/plain.py`).

    .venv/bin/python -m benchmarks.evaluator [WIDTH] [LAYERS] [--workers=N] [--jobs raw knn ...]
        [--backends auto sklearn jax] [--prompts] [--repeats=N]

The hidden states are random, of the main experiment's sizes and with its labels, around a mean for each task and input,
so that there is something to find. With `--prompts` they have the sizes, labels and jobs of `configs/probing.py`: one
split of 8,800 prompts. Ours are scored as in a run, by worker processes that are there already; theirs run in one
process with the libraries' own threads.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import command_line, measuring, plain
from benchmarks.command_line import whole
from clusterlm_jax import config
from clusterlm_jax.analysis.cells import QUERIES, REFERENCE, cells_of, label_columns
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import BACKENDS, VALIDATION_ONLY, AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments.probing.probe import SPLIT as PROMPTS
from clusterlm_jax.records import JOBS, SPLITS, HiddenStates


class Sizes(NamedTuple):
    """What is scored, but for its hidden states: the labels of each split, and how."""

    labels: Mapping[str, Mapping[str, np.ndarray]]  # columns by split
    spec: AnalysisSpec

    @property
    def scored(self) -> tuple[str, ...]:
        """The splits that have cells."""
        return tuple(split for split in self.labels if split != REFERENCE)


def sizes(prompts: bool) -> Sizes:
    """Those of probing, or of the main experiment."""
    if prompts:
        settings = config.build(config.default("probing"))
        composed = natural.compose(settings.data, 0)
        position_N = np.array([len(text.split()) - 1 for text in composed.texts], np.int32)  # as if a word were a token
        return Sizes({PROMPTS: {**composed.labels, "position": position_N}}, settings.eval)
    dataset = synthesise(DataSpec(), seed=0)
    return Sizes({split: dataset.columns(dataset.splits[split]) for split in (*SPLITS, REFERENCE)}, AnalysisSpec())


def states(labels: Mapping[str, Mapping[str, np.ndarray]], width: int, layers: int) -> dict[str, HiddenStates]:
    """States by split."""
    rng = np.random.default_rng(0)
    count = [1 + max(int(columns[name].max()) for columns in labels.values()) for name in ("task", "input")]
    mean_TD, mean_SD = (rng.normal(size=(values, width)) for values in count)
    found = {}
    for split, columns in labels.items():
        centre_ND = mean_TD[columns["task"]] + mean_SD[columns["input"]]
        hidden_LND = np.stack([centre_ND + rng.normal(size=centre_ND.shape) for _ in range(layers)], dtype=np.float32)
        names = tuple(map(str, range(1, layers + 1)))
        found[split] = HiddenStates(hidden_LND, names, columns, "main", 0, 0, 0, split)
    return found


def ours(job: str, prompts: bool, width: int, layers: int, workers: int, backend: str) -> Callable[[], object]:
    """Scores an epoch's cells of a job; at every call another epoch, with the same states."""
    place = tempfile.TemporaryDirectory(prefix="clusterlm_jax-benchmark-")
    root, of = Path(place.name), sizes(prompts)
    spec = dataclasses.replace(of.spec, jobs=(job,), workers=workers, backend=backend, keep_hidden=True)
    store, table = HiddenStore(root / "hidden", owner=True), ScoreTable(root / "scores.csv", spec)
    evaluator = Evaluator(spec, table, store, root / "embeddings")
    for given in states(of.labels, width, layers).values():
        store.save(given)
    epochs = itertools.count(1)

    def turn() -> None:
        epoch, saved = next(epochs), root / "hidden/main/seed=0"
        shutil.copytree(saved / "epoch=0000", saved / f"epoch={epoch:04d}", copy_function=os.link)
        evaluator.submit(cells_of("main", 0, epoch, 0, of.scored, given.layers, spec))
        evaluator.drain()

    turn.keeps = place  # else it would be removed now
    return turn


def theirs(job: str, prompts: bool, width: int, layers: int) -> Callable[[], object]:
    """The plain loop over the same layers and splits."""
    of, rng = sizes(prompts), np.random.default_rng(0)
    given = states(of.labels, width, layers)
    columns = {split: label_columns(labels) for split, labels in of.labels.items()}
    scored = [split for split in of.scored if job not in VALIDATION_ONLY or split == QUERIES]

    def turn() -> None:
        for split, layer in itertools.product(scored, range(layers)):
            reference = (given[REFERENCE].hidden_LND[layer], columns[REFERENCE]) if REFERENCE in given else (None, {})
            plain.JOBS[job](plain.Layer(given[split].hidden_LND[layer], columns[split], *reference), of.spec, rng)

    return turn


def measure(
    width: int, layers: int, workers: int, jobs: Sequence[str], backends: Sequence[str], prompts: bool, repeats: int
) -> None:
    of = sizes(prompts)
    splits = f"{len(of.labels[PROMPTS]['task']):,} prompts" if prompts else "both splits"
    print(f"an epoch of {layers} layers of width {width}, {splits}; medians of {repeats}; peak memory of")
    print("the plain loop, and of ours without its workers: of the host, and of an accelerator")
    print(f"{'job':14} {'plain, s':>10}", *(f"{f'{backend}, s':>12} {'ratio':>8}" for backend in backends))
    measured, jobs = {}, [job for job in jobs if job in of.spec.jobs]
    for job in jobs:
        sides = {"plain": partial(theirs, job, prompts, width, layers)}
        sides |= {backend: partial(ours, job, prompts, width, layers, workers, backend) for backend in backends}
        found = measuring.in_turns(sides, repeats)
        measured |= {f"{job}, {name}": side for name, side in found.items()}
        memory = ", ".join(f"{measuring.mib(m.host_mib)} {measuring.mib(m.device_mib)}" for m in found.values())
        show(job, [side.seconds for side in found.values()], memory)
    show("all", [sum(measured[f"{job}, {side}"].seconds for job in jobs) for side in ("plain", *backends)])
    ceilings = measuring.in_turns(measuring.ceilings())
    flops, bytes_ = measuring.ceilings_of(ceilings)
    print(f"the machine: {flops:.0f} GFLOP/s of a matrix product, {bytes_:.1f} GB/s of a copy")
    measuring.tell("evaluator", measured | ceilings, width=width, layers=layers, workers=workers, prompts=prompts)


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
    parser.add_argument("--prompts", action="store_true", help="as a pretrained model's states")
    parser.add_argument("--repeats", type=whole, default=measuring.REPEATS, metavar="N", help="timed turns a side")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
