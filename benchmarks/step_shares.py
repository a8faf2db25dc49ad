"""What share of a training step is what: by leaving each part out, and by counting operations.

    .venv/bin/python -m benchmarks.step_shares [WIDTH] [instruction|instance] [float32|bfloat16] [STEPS]

The paper's data in batches of 64. A part's share is what a step gets faster without it. The optimiser is left out
first, and the other parts from a step that has none, so that a part does not count its parameters' optimiser too. What
is left is the products around attention, norms and residual sums. Beside it stands the part's share of the matrix
products' operations, masked pairs and padding included, because they are computed. Capture is what `train_step` gives
besides its loss: training uses the prediction alone, and the compiler leaves out the states.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from unittest import mock

import jax
import optax

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from benchmarks.training import BATCH, counted, data
from clusterlm_jax.data.batching import UNITS, TrainingBatches
from clusterlm_jax.models import gpt2
from clusterlm_jax.models.spec import COMPUTE_DTYPES, GPT2Spec
from clusterlm_jax.records import Batch
from clusterlm_jax.training import steps as pure
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import course, initial_state

WHOLE, BARE = "the whole step", "optimiser"
DROPOUT, CORE, INNER, BLOCKS, CAPTURE = (
    "dropout",
    "attention: scores, softmax, reading",
    "feed-forward network",
    "blocks",
    "capture",
)
PARTS = (WHOLE, BARE, DROPOUT, CORE, INNER, BLOCKS, CAPTURE)


@contextlib.contextmanager
def left_out(part: str) -> Iterator[None]:
    """Traced inside, a step lacks a part that the model's spec cannot switch off."""
    with contextlib.ExitStack() as opened:
        if part not in (WHOLE, CAPTURE):
            opened.enter_context(mock.patch.object(pure, "optimiser", lambda *_: optax.sgd(1e-6)))
        if part == CORE:
            opened.enter_context(mock.patch.object(gpt2, "attend", lambda q, k, v, mask, drop: v))
        yield


def side(part: str, spec: GPT2Spec, unit: str, steps: int) -> Callable[[], object]:
    changed = {DROPOUT: {"dropout": 0.0}, INNER: {"ffn_dim": 1}, BLOCKS: {"layers": 1}}.get(part, {})
    dataset, train = data(), TrainSpec()
    model = gpt2.GPT2(dataclasses.replace(spec, **changed), dataset.vocabulary.size)
    epoch = TrainingBatches(dataset, BATCH, unit, 1, 0).epoch(1)
    batches = jax.device_put(jax.tree.map(lambda a: a[:steps], epoch))

    def step(state, batch: Batch):
        state, loss, reading = pure.train_step(model, train, course(0, 10_000), state, batch, capture=part != CAPTURE)
        return state, (loss, None if reading is None else reading.predicted_N)

    with left_out(part):
        start = initial_state(model, train, 0)
        opt_state = pure.optimiser(train, 1, "").init(start.params)
        held = [start.replace(opt_state=opt_state)]
        run = jax.jit(partial(jax.lax.scan, step), donate_argnums=0).lower(held[0], batches).compile()

    def turn() -> None:
        held[0], _ = jax.block_until_ready(run(held[0], batches))

    return turn


def operations_of(spec: GPT2Spec, vocabulary: int, row: int) -> dict[str, float]:
    """By part, its share of a step's operations in matrix products, for rows of so many places."""
    width, layers = spec.hidden_dim, spec.layers
    core, inner = layers * 4 * width * row, layers * 4 * width * spec.feed_forward_width
    around, head = layers * 8 * width**2, 2 * vocabulary * width
    total = core + inner + around + head
    return {CORE: core / total, INNER: inner / total, BLOCKS: 1 - head / total}


def measure(width: int, unit: str, dtype: str, steps: int) -> None:
    spec, dataset = GPT2Spec(hidden_dim=width, compute_dtype=dtype), data()
    measured = measuring.in_turns({part: partial(side, part, spec, unit, steps) for part in PARTS})
    seconds = {part: measured[part].seconds / steps for part in PARTS}
    one_block = (seconds[BARE] - seconds[BLOCKS]) / (spec.layers - 1)
    saved = {part: seconds[BARE] - seconds[part] for part in (DROPOUT, CORE, INNER)}
    saved |= {BARE: seconds[WHOLE] - seconds[BARE], CAPTURE: seconds[WHOLE] - seconds[CAPTURE]}
    rest = "the rest of the blocks"
    saved[rest] = spec.layers * one_block - sum(saved[part] for part in (DROPOUT, CORE, INNER))
    head = "embeddings, head, loss"
    saved[head] = seconds[BARE] - spec.layers * one_block
    batches = TrainingBatches(dataset, BATCH, unit, 1, 0)
    start = time.perf_counter()
    epoch = batches.epoch(1)
    packing, row, pairs = time.perf_counter() - start, batches.columns, counted(epoch)[1]
    size, masked = sum(array.nbytes for array in epoch), 1 - pairs / (epoch.tokens_RT.size * row)
    operations = operations_of(spec, dataset.vocabulary.size, row)
    operations[rest] = operations[BLOCKS] - operations[CORE] - operations[INNER]
    operations[head] = 1 - operations[BLOCKS]
    print(f"{jax.devices()[0].device_kind}, width {width}, {dtype}, batches of {BATCH} by {unit}, rows of {row}:")
    print(f"{seconds[WHOLE] * 1e3:.1f} ms a step, {masked:.0%} of the pairs of places in a row masked")
    print(f"an epoch has {size / 1e6:.1f} MB of integers and is packed in {packing * 1e3:.0f} ms")
    for part in (CORE, INNER, rest, head, DROPOUT, BARE, CAPTURE):
        share = f"{operations[part]:4.0%} of the operations" if part in operations else ""
        beside = " (part of the others)" if part == CAPTURE else ""
        print(f"{part:36} {saved[part] / seconds[WHOLE]:5.0%} of the time  {share}{beside}")
    shares = {part: value / seconds[WHOLE] for part, value in saved.items()}
    tell = {"width": width, "unit": unit, "dtype": dtype, "steps": steps, "row": row}
    tell |= {"masked": masked, "epoch_bytes": size, "packing_seconds": packing}
    measuring.tell("step_shares", measured, **tell, shares=shares, operations=operations)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("step_shares", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("unit", nargs="?", choices=UNITS, default="instruction", help="train.batch_unit")
    parser.add_argument("dtype", nargs="?", choices=COMPUTE_DTYPES, default="float32", help="of its matrix products")
    parser.add_argument("steps", nargs="?", type=whole, default=8, metavar="STEPS", help="how many are timed")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
