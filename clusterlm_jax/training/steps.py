"""The pure steps: one of training, one of reading. Their callers compile them with `jax.jit`.

Letters of a shape: the table in `records`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.sites import HIDDEN, stacked
from clusterlm_jax.records import Batch
from clusterlm_jax.training.devices import Devices
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import Course, TrainState, initial_state, optimiser


class Loss(NamedTuple):
    """A sum with its count: batches differ in size, so sums are added up first and divided once, at the end."""

    loss: jax.Array  # nats, summed over the tokens that count
    tokens: jax.Array  # how many count


class StepMetrics(NamedTuple):
    """What is added up over the steps of an epoch."""

    loss: jax.Array  # as in `Loss`
    tokens: jax.Array
    right: jax.Array  # instances whose output token was predicted
    instances: jax.Array


class Reading(NamedTuple):
    """What one pass holds at the input tokens of N instances. The slots of absent instances hold arbitrary values."""

    hidden_LND: jax.Array  # float32, layers in the order of `records.layer_names`
    loss_N: jax.Array  # cross-entropy of the output token, nats
    predicted_N: jax.Array  # the most likely token
    sequence: Loss  # over whole sequences


def sequence_loss(logits_RTV: jax.Array, batch: Batch) -> Loss:
    """Causal language modelling over whole sequences: each token of an instance predicts the next one.

    A symbol that several instances share counts once for each of them, so the loss equals that of the instances one by
    one.
    """
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    segment, weight = batch.segment_RT, batch.weight_RT
    # Inside an instruction the next symbol is the next column. The input is not: in a shared row the inputs of all
    # instances follow the instruction one after the other, so the pair (last symbol, input) is looked up by place.
    next_weight = jnp.where(segment[:, 1:] == segment[:, :-1], weight[:, 1:], 0)
    symbols = cross_entropy(logits_RTV[:, :-1], batch.tokens_RT[:, 1:]) * next_weight
    inputs = cross_entropy(logits_RTV[batch.row_N, batch.prefix_N], batch.tokens_RT[batch.row_N, batch.column_N])
    outputs = cross_entropy(logits_RTV[batch.row_N, batch.column_N], batch.output_N)
    there = batch.row_N >= 0
    loss = symbols.sum() + jnp.where(there, inputs + outputs, 0).sum()
    return Loss(loss, next_weight.sum() + 2 * there.sum())


def output_loss(logits_RTV: jax.Array, batch: Batch) -> Loss:
    """Each instance predicts its output token only; nothing is learned about instructions and inputs."""
    logits_NV, there = logits_RTV[batch.row_N, batch.column_N], batch.row_N >= 0
    outputs = optax.softmax_cross_entropy_with_integer_labels(logits_NV, batch.output_N)
    return Loss(jnp.where(there, outputs, 0).sum(), there.sum())


def training_loss(loss: str, logits_RTV: jax.Array, batch: Batch) -> Loss:
    """The loss that training minimises: `TrainSpec.loss`."""
    return output_loss(logits_RTV, batch) if loss == "output" else sequence_loss(logits_RTV, batch)


def train_step(
    model: GPT2,
    spec: TrainSpec,
    course: Course,
    state: TrainState,
    batch: Batch,
    *,
    trainable: str = "",
    capture: bool = False,
    gathered: Callable[[Any], Any] = lambda params: params,
) -> tuple[TrainState, Loss, Reading | None]:
    """One optimiser step on a batch; with `capture`, also what this very pass held at its input tokens.

    The reading comes from the forward pass that the gradient needs anyway, with its dropout. What the caller does not
    use of it, the compiler leaves out.

    Args:
      trainable: the path of the only parameter that changes; empty trains all.
      capture: whether the model sows its hidden states, and the third result is a `Reading` instead of None.
      gathered: parameters as they are kept -> as the model takes them (`Devices.gathered`).
    """

    def loss_of(params):
        logits, hidden = model.apply(
            {"params": gathered(params)},
            batch,
            deterministic=False,
            rngs={"dropout": jax.random.fold_in(course.key, state.step)},
            mutable=[HIDDEN] if capture else [],
        )
        loss = training_loss(spec.loss, logits, batch)
        # A step of padding has no token; the maximum keeps its loss at 0 instead of 0 / 0.
        return loss.loss / jnp.maximum(loss.tokens, 1), (loss, logits, hidden)

    gradients, (loss, logits, hidden) = jax.grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimiser(spec, course.total_steps, trainable).update(gradients, state.opt_state, state.params)
    new = TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)
    return new, loss, _reading(model, logits, hidden[HIDDEN], batch) if capture else None


def train_steps(
    model: GPT2,
    spec: TrainSpec,
    course: Course,
    state: TrainState,
    batches: Batch,
    real_S: jax.Array,
    trainable: str = "",
    gathered: Callable[[Any], Any] = lambda params: params,
) -> tuple[TrainState, StepMetrics]:
    """Steps over batches stacked [step, ...], in one dispatch; metrics [step].

    Where `real_S` is False, the step is padding: it leaves the state as it is and counts nothing.
    """

    def take(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        new, loss, reading = train_step(
            model, spec, course, state, batch, trainable=trainable, capture=True, gathered=gathered
        )
        return new, _metrics(loss, reading.predicted_N, batch)

    def skip(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        none = jnp.zeros((), jnp.int32)
        return state, StepMetrics(jnp.zeros(()), none, none, none)

    def body(state: TrainState, step):
        batch, real = step
        return jax.lax.cond(real, take, skip, state, batch)

    # A scan: dispatching small steps one by one from Python costs more than the steps themselves.
    return jax.lax.scan(body, state, (batches, real_S))


def read_step(model: GPT2, params, batch: Batch) -> Reading:
    """A pass without dropout over a batch."""
    # By default accelerators multiply float32 matrices in fewer bits (TF32 on an A100, bfloat16 on a TPU). Distances
    # between states are small differences of large numbers and would carry that rounding.
    with jax.default_matmul_precision("highest"):
        logits, hidden = model.apply({"params": params}, batch, mutable=[HIDDEN])
        return _reading(model, logits, hidden[HIDDEN], batch)


def loss_step(model: GPT2, loss: str, params, batch: Batch) -> StepMetrics:
    """The metrics of a batch without dropout and without an optimiser step."""
    logits_RTV = model.apply({"params": params}, batch)
    predicted_N = logits_RTV[batch.row_N, batch.column_N].argmax(-1)
    return _metrics(training_loss(loss, logits_RTV, batch), predicted_N, batch)


def axis_of(spec: TrainSpec) -> str:
    """How this machine computes the seeds of a training: the `axis` of `over_seeds`."""
    if spec.seed_axis != "auto":
        return spec.seed_axis
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_seeds(step: Callable, axis: str) -> Callable:
    """A step of one seed -> the step of several; every argument and every result is stacked along a leading axis.

    Args:
      axis: `vmap` computes the seeds side by side, which keeps an accelerator busy. `map` computes them in turn inside
        one program, which is faster on a CPU: the products of a single seed already use all of its cores.
    """
    return jax.vmap(step) if axis == "vmap" else lambda *stacked: jax.lax.map(lambda one: step(*one), stacked)


# Compiled programs. They are cached, so that trainings which differ only in their data or initial parameters compile
# once. The keys are frozen specs and modules, which compare by value. What the host fetches is on every device, so each
# of several processes has it.


@cache
def training_program(model: GPT2, spec: TrainSpec, trainable: str, axis: str, devices: Devices) -> Callable:
    """`train_steps` of several seeds, compiled. The state is not donated: it is saved while the next is computed."""
    places = devices.states(jax.eval_shape(partial(initial_state, model, spec, 0, trainable)))
    steps = over_seeds(partial(train_steps, model, spec, trainable=trainable, gathered=devices.gathered), axis)
    return jax.jit(steps, out_shardings=(places, devices.whole))


@cache
def losses_program(model: GPT2, loss: str, axis: str, devices: Devices) -> Callable:
    """(params, batches stacked [step, ...]) -> the metrics of `loss_step` [step], of several seeds, compiled."""

    def losses(params, batches):
        return jax.lax.map(partial(loss_step, model, loss, devices.gathered(params)), batches)

    return jax.jit(over_seeds(losses, axis), out_shardings=devices.whole)


@cache
def reading_program(model: GPT2, axis: str, devices: Devices) -> Callable:
    """`read_step` of several seeds, compiled."""

    def read(params, batch):
        return read_step(model, devices.gathered(params), batch)

    return jax.jit(over_seeds(read, axis), out_shardings=devices.whole)


def _metrics(loss: Loss, predicted_N: jax.Array, batch: Batch) -> StepMetrics:
    there_N = batch.row_N >= 0
    return StepMetrics(*loss, (there_N & (predicted_N == batch.output_N)).sum(), there_N.sum())


def _reading(model: GPT2, logits_RTV: jax.Array, hidden: dict, batch: Batch) -> Reading:
    logits_NV = logits_RTV[batch.row_N, batch.column_N]
    return Reading(
        stacked(hidden, model.spec.layers),
        optax.softmax_cross_entropy_with_integer_labels(logits_NV, batch.output_N),
        logits_NV.argmax(-1),
        sequence_loss(logits_RTV, batch),
    )
