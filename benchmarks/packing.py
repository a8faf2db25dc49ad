"""Seconds an epoch of training takes with batches that are padded, packed, and packed with instructions shared.

    .venv/bin/python -m benchmarks.packing [WIDTH] [float32|bfloat16]

All three train on the same instances with the same loss. Only the places of the instances in a batch differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from benchmarks import command_line
from benchmarks.command_line import whole
from clusterlm_jax.data.batching import TrainingBatches, lay_out
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import COMPUTE_DTYPES, GPT2Spec
from clusterlm_jax.records import Batch, Dataset
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import course, initial_state
from clusterlm_jax.training.steps import train_steps

STEPS, REPEATS, BATCH = 8, 5, 64


def padded(dataset: Dataset, columns: int) -> Batch:
    """One instance a row, as a plain implementation has it."""
    instance = np.random.default_rng(0).permutation(dataset.splits["training"])[: STEPS * BATCH]
    alone = lay_out(dataset, instance[:, None], np.ones((len(instance), 1), int), columns)
    by_step = jax.tree.map(lambda a: a.reshape(STEPS, BATCH, *a.shape[2:]), alone)
    return by_step._replace(row_N=np.indices((STEPS, BATCH))[1])


def seconds_an_epoch(dataset: Dataset, model: GPT2, batches: Batch) -> float:
    """Median of a few timings of `STEPS` steps, as of a whole epoch."""
    step = jax.jit(partial(train_steps, model, TrainSpec()), donate_argnums=1)
    state = initial_state(model, TrainSpec(), 0)
    times = []
    for _ in range(REPEATS + 1):  # the first compiles
        start = time.perf_counter()
        state, _ = jax.block_until_ready(step(course(0, 10_000), state, batches, np.ones(STEPS, bool)))
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * len(dataset.splits["training"]) / batches.output_N.size


def measure(width: int, dtype: str) -> None:
    spec, dataset = GPT2Spec(hidden_dim=width, compute_dtype=dtype), synthesise(DataSpec(), seed=0)
    model = GPT2(spec, dataset.vocabulary.size)
    packed, shared = (TrainingBatches(dataset, BATCH, unit, 1, 0) for unit in ("instance", "instruction"))
    print(f"{jax.devices()[0].device_kind}, width {width}, {dtype}")
    first = None
    for name, batches in (
        ("padded", padded(dataset, packed.columns)),
        ("packed", jax.tree.map(lambda a: a[:STEPS], packed.epoch(1))),
        ("instructions shared", jax.tree.map(lambda a: a[:STEPS], shared.epoch(1))),
    ):
        seconds = seconds_an_epoch(dataset, model, batches)
        first = first or seconds
        share, size = float((batches.segment_RT == 0).mean()), batches.output_N.shape[1]
        times = f"{seconds:8.2f} s an epoch, {first / seconds:5.2f} x padded"
        print(f"{name:20} {times}, {size} instances a batch, {share:4.0%} padding")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("packing", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("dtype", nargs="?", choices=COMPUTE_DTYPES, default="float32", help="of its matrix products")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
