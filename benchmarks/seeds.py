"""Seconds an epoch of training takes with one seed, and with several seeds in one program.

    .venv/bin/python -m benchmarks.seeds [WIDTH] [SEEDS] [float32|bfloat16] [STEPS]

The epochs are those of a run: the paper's data, another dataset for each seed, in batches of 64 instances with their
instructions shared. The seeds are computed side by side (vmap) and in turn (map). One program saves time where the
ratio is below the number of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from benchmarks.training import BATCH
from clusterlm_jax.data.batching import TrainingBatches, align
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import COMPUTE_DTYPES, GPT2Spec
from clusterlm_jax.training.loop import stack
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import course, initial_state
from clusterlm_jax.training.steps import over_seeds, train_steps


def batches_of(seeds: int) -> tuple[int, list[TrainingBatches]]:
    """The size of the vocabulary, and the batches of each seed."""
    datasets = [synthesise(DataSpec(), seed) for seed in range(seeds)]
    batches = [TrainingBatches(dataset, BATCH, "instruction", 1, seed) for seed, dataset in enumerate(datasets)]
    return datasets[0].vocabulary.size, batches


def side(spec: GPT2Spec, seeds: int, axis: str, steps: int) -> Callable[[], object]:
    """Takes the first `steps` steps of an epoch of every seed."""
    vocabulary, batches = batches_of(seeds)
    model = GPT2(spec, vocabulary)
    chunk = jax.tree.map(lambda a: jax.device_put(a[:, :steps]), align([b.epoch(1) for b in batches]))
    real = np.arange(steps) < np.array([[b.steps] for b in batches])
    run = jax.jit(over_seeds(partial(train_steps, model, TrainSpec()), axis), donate_argnums=1)
    courses = stack([course(seed, 10_000) for seed in range(seeds)])
    held = [stack([initial_state(model, TrainSpec(), seed) for seed in range(seeds)])]

    def turn() -> None:
        held[0], _ = jax.block_until_ready(run(courses, held[0], chunk, real))

    return turn


def measure(width: int, seeds: int, dtype: str, steps: int) -> None:
    spec, (_, batches) = GPT2Spec(hidden_dim=width, compute_dtype=dtype), batches_of(seeds)
    steps = min(steps, min(b.steps for b in batches))
    ways = {"one seed": (1, "map"), f"{seeds} side by side": (seeds, "vmap"), f"{seeds} in turn": (seeds, "map")}
    measured = measuring.in_turns({name: partial(side, spec, *way, steps) for name, way in ways.items()})
    print(f"{jax.devices()[0].device_kind}, width {width}, {dtype}, batches of {batches[0].instances} instances")
    for name, (count, _) in ways.items():
        told = measured[name]
        seconds = told.seconds / steps * max(b.steps for b in batches[:count])
        memory = f"{measuring.mib(told.host_mib)} of the host, {measuring.mib(told.device_mib)} of the device"
        ratio = told.seconds / measured["one seed"].seconds
        print(f"{name:15} {seconds:8.3f} s an epoch, {ratio:5.2f} x one seed, {memory}")
    measuring.tell("seeds", measured, width=width, seeds=seeds, dtype=dtype, steps=steps)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("seeds", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("seeds", nargs="?", type=whole, default=3, metavar="SEEDS", help="how many in one program")
    parser.add_argument("dtype", nargs="?", choices=COMPUTE_DTYPES, default="float32", help="of its matrix products")
    parser.add_argument("steps", nargs="?", type=whole, default=16, metavar="STEPS", help="how many are timed")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
