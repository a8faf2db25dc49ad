"""What training carries from step to step."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.training.spec import TrainSpec


@flax.struct.dataclass
class TrainState:
    """Step, parameters and optimiser state; every random number follows from (seed, step)."""

    step: jax.Array
    params: Any
    opt_state: Any


@flax.struct.dataclass
class Course:
    """What sets the steps of one seed apart from another's.

    Attributes:
      key: the key each step folds its dropout from.
      total_steps: of the whole training; the learning rate reaches 0 there.
    """

    key: jax.Array
    total_steps: jax.Array


def course(seed: int, total_steps: int) -> Course:
    return Course(jax.random.fold_in(jax.random.key(seed), 1), jnp.asarray(total_steps, jnp.float32))


def optimiser(spec: TrainSpec, total_steps: jax.Array | float) -> optax.GradientTransformation:
    """AdamW on a cosine to 0, gradients clipped by their global norm (table 4)."""
    rate = optax.cosine_decay_schedule(spec.learning_rate, decay_steps=1)  # of the share of training done
    return optax.chain(
        optax.clip_by_global_norm(spec.max_gradient_norm),
        optax.adamw(lambda step: rate(step / total_steps), weight_decay=spec.weight_decay),
    )


def initial_state(model: GPT2, spec: TrainSpec, seed: int) -> TrainState:
    """The untrained model of a seed, epoch 0 of the analysis."""
    params = initial_params(model, jax.random.fold_in(jax.random.key(seed), 0))
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser(spec, total_steps=1).init(params))
