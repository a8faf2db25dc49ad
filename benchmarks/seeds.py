"""Seconds an epoch of training takes with one seed, and with several seeds in one program.

    .venv/bin/python -m benchmarks.seeds [WIDTH] [SEEDS] [float32|bfloat16] [STEPS]

The epochs are those of a run: the paper's data, another dataset for each seed, in batches of 64 instances with their
instructions shared. The seeds are computed side by side (vmap) and in turn (map). One program saves time where the
ratio is below the number of seeds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from benchmarks import command_line
from benchmarks.command_line import whole
from clusterlm_jax.data.batching import TrainingBatches, align
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import COMPUTE_DTYPES, GPT2Spec
from clusterlm_jax.training.loop import stack
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import course, initial_state
from clusterlm_jax.training.steps import over_seeds, train_steps

REPEATS, BATCH = 5, 64


def seconds_an_epoch(model: GPT2, batches: list[TrainingBatches], axis: str, steps: int) -> float:
    """Median of a few timings of `steps` steps of every seed, as of a whole epoch of the longest."""
    seeds, total = range(len(batches)), max(b.steps for b in batches)
    steps = min(steps, total)
    chunk = jax.tree.map(lambda a: jax.device_put(a[:, :steps]), align([b.epoch(1) for b in batches]))
    real = np.arange(steps) < np.array([[b.steps] for b in batches])
    run = jax.jit(over_seeds(partial(train_steps, model, TrainSpec()), axis), donate_argnums=1)
    courses = stack([course(seed, 10_000) for seed in seeds])
    state = stack([initial_state(model, TrainSpec(), seed) for seed in seeds])
    times = []
    for _ in range(REPEATS + 1):  # the first compiles
        start = time.perf_counter()
        state, _ = jax.block_until_ready(run(courses, state, chunk, real))
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) * total / steps


def measure(width: int, seeds: int, dtype: str, steps: int) -> None:
    spec = GPT2Spec(hidden_dim=width, compute_dtype=dtype)
    datasets = [synthesise(DataSpec(), seed) for seed in range(seeds)]
    model = GPT2(spec, datasets[0].vocabulary.size)
    batches = [TrainingBatches(dataset, BATCH, "instruction", 1, seed) for seed, dataset in enumerate(datasets)]
    print(f"{jax.devices()[0].device_kind}, width {width}, {dtype}, batches of {batches[0].instances} instances")
    one = seconds_an_epoch(model, batches[:1], "map", steps)
    print(f"one seed                  {one:8.3f} s an epoch")
    for axis, words in (("vmap", "side by side"), ("map", "in turn")):
        several = seconds_an_epoch(model, batches, axis, steps)
        print(f"{seeds} seeds {words:17} {several:8.3f} s an epoch, {several / one:5.2f} x one seed")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("seeds", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("seeds", nargs="?", type=whole, default=3, metavar="SEEDS", help="how many in one program")
    parser.add_argument("dtype", nargs="?", choices=COMPUTE_DTYPES, default="float32", help="of its matrix products")
    parser.add_argument("steps", nargs="?", type=whole, default=16, metavar="STEPS", help="how many are timed")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
