"""The pure steps: one of training, one of reading. Everything here is jit-compiled by its caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.sites import HIDDEN, stacked
from clusterlm_jax.records import Batch
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import Course, Trainable, TrainState, optimiser


class StepMetrics(NamedTuple):
    """Sums with their counts: divided once, by whoever adds them up."""

    loss: jax.Array  # nats, summed over the tokens that count
    tokens: jax.Array  # how many count


class Reading(NamedTuple):
    """What a pass reads at the input tokens of N instances; slots of absent instances hold whatever is there."""

    hidden_LND: jax.Array  # float32, layers in the order of `records.layer_names`
    loss_N: jax.Array  # cross-entropy of the output token, nats
    predicted_N: jax.Array  # the most likely token
    sequence: StepMetrics  # over whole sequences


def sequence_loss(logits_RTV: jax.Array, batch: Batch) -> StepMetrics:
    """Causal language modelling over whole sequences: each token of an instance predicts its next.

    Symbols that instances share count once for each of them, so the loss is that of the instances one by one.
    """
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    segment, weight = batch.segment_RT, batch.weight_RT
    next_weight = jnp.where(segment[:, 1:] == segment[:, :-1], weight[:, 1:], 0)
    symbols = cross_entropy(logits_RTV[:, :-1], batch.tokens_RT[:, 1:]) * next_weight
    inputs = cross_entropy(logits_RTV[batch.row_N, batch.prefix_N], batch.tokens_RT[batch.row_N, batch.column_N])
    outputs = cross_entropy(logits_RTV[batch.row_N, batch.column_N], batch.output_N)
    there = batch.row_N >= 0
    loss = symbols.sum() + jnp.where(there, inputs + outputs, 0).sum()
    return StepMetrics(loss, next_weight.sum() + 2 * there.sum())


def output_loss(logits_RTV: jax.Array, batch: Batch) -> StepMetrics:
    """Each instance predicts its output token; its instruction and its input are given, not learned."""
    logits_NV, there = logits_RTV[batch.row_N, batch.column_N], batch.row_N >= 0
    outputs = optax.softmax_cross_entropy_with_integer_labels(logits_NV, batch.output_N)
    return StepMetrics(jnp.where(there, outputs, 0).sum(), there.sum())


def training_loss(loss: str, logits_RTV: jax.Array, batch: Batch) -> StepMetrics:
    """The loss that training brings down, `TrainSpec.loss`."""
    return output_loss(logits_RTV, batch) if loss == "output" else sequence_loss(logits_RTV, batch)


def train_step(
    model: GPT2,
    spec: TrainSpec,
    course: Course,
    state: TrainState,
    batch: Batch,
    *,
    trainable: Trainable | None = None,
    capture: bool = False,
) -> tuple[TrainState, StepMetrics, Reading | None]:
    """One optimiser step on a batch; with `capture`, also what that very pass held at its input tokens."""

    def loss_of(params):
        logits, hidden = model.apply(
            {"params": params},
            batch,
            deterministic=False,
            rngs={"dropout": jax.random.fold_in(course.key, state.step)},
            mutable=[HIDDEN] if capture else [],
        )
        metrics = training_loss(spec.loss, logits, batch)
        return metrics.loss / jnp.maximum(metrics.tokens, 1), (metrics, logits, hidden)

    gradients, (metrics, logits, hidden) = jax.grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimiser(spec, course.total_steps, trainable).update(gradients, state.opt_state, state.params)
    new = TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)
    return new, metrics, _reading(model, logits, hidden[HIDDEN], batch) if capture else None


def train_steps(
    model: GPT2,
    spec: TrainSpec,
    course: Course,
    state: TrainState,
    batches: Batch,
    real_S: jax.Array,
    trainable: Trainable | None = None,
) -> tuple[TrainState, StepMetrics]:
    """Steps over batches stacked [step, ...], in one dispatch; where `real_S` is False, a step leaves all as it is."""

    def take(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        return train_step(model, spec, course, state, batch, trainable=trainable)[:2]

    def skip(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        return state, StepMetrics(jnp.zeros(()), jnp.zeros((), jnp.int32))

    def body(state: TrainState, step):
        batch, real = step
        return jax.lax.cond(real, take, skip, state, batch)

    return jax.lax.scan(body, state, (batches, real_S))


def read_step(model: GPT2, params, batch: Batch) -> Reading:
    """A pass without dropout over a batch."""
    with jax.default_matmul_precision("highest"):
        logits, hidden = model.apply({"params": params}, batch, mutable=[HIDDEN])
        return _reading(model, logits, hidden[HIDDEN], batch)


def axis_of(spec: TrainSpec) -> str:
    """How the seeds of a training are computed on this machine, for `over_seeds`."""
    if spec.seed_axis != "auto":
        return spec.seed_axis
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_seeds(step: Callable, axis: str) -> Callable:
    """A step of one seed -> the step of several, every argument and result stacked along a leading axis.

    Args:
      axis: `vmap` computes the seeds side by side, as an accelerator likes it; `map` one after the other inside the
        same program, which is faster on a CPU, where products of several matrices at once gain nothing.
    """
    return jax.vmap(step) if axis == "vmap" else lambda *stacked: jax.lax.map(lambda one: step(*one), stacked)


def loss_step(model: GPT2, loss: str, params, batch: Batch) -> StepMetrics:
    """The training loss of a batch without dropout and without learning from it."""
    return training_loss(loss, model.apply({"params": params}, batch), batch)


# Trainings that differ in their data or their initial parameters alone share their programs, compiled once.


@cache
def training_program(model: GPT2, spec: TrainSpec, trainable: Trainable | None, axis: str) -> Callable:
    """`train_steps` of several seeds, compiled; the state is given to it."""
    return jax.jit(over_seeds(partial(train_steps, model, spec, trainable=trainable), axis), donate_argnums=1)


@cache
def losses_program(model: GPT2, loss: str, axis: str) -> Callable:
    """(params, batches stacked [step, ...]) -> the loss of every step without learning, of several seeds, compiled."""
    return jax.jit(
        over_seeds(lambda params, batches: jax.lax.map(partial(loss_step, model, loss, params), batches), axis)
    )


@cache
def reading_program(model: GPT2, axis: str) -> Callable:
    """`read_step` of several seeds, compiled."""
    return jax.jit(over_seeds(partial(read_step, model), axis))


def _reading(model: GPT2, logits_RTV: jax.Array, hidden: dict, batch: Batch) -> Reading:
    logits_NV = logits_RTV[batch.row_N, batch.column_N]
    return Reading(
        stacked(hidden, model.spec.layers),
        optax.softmax_cross_entropy_with_integer_labels(logits_NV, batch.output_N),
        logits_NV.argmax(-1),
        sequence_loss(logits_RTV, batch),
    )
