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


def optimiser(spec: TrainSpec, total_steps: int) -> optax.GradientTransformation:
    """AdamW on a cosine to 0, gradients clipped by their global norm (table 4)."""
    return optax.chain(
        optax.clip_by_global_norm(spec.max_gradient_norm),
        optax.adamw(
            optax.cosine_decay_schedule(spec.learning_rate, total_steps),
            weight_decay=spec.weight_decay,
        ),
    )


def initial_state(model: GPT2, tx: optax.GradientTransformation, seed: int) -> TrainState:
    """The untrained model of a seed, epoch 0 of the analysis."""
    params = initial_params(model, jax.random.fold_in(jax.random.key(seed), 0))
    return TrainState(jnp.zeros((), jnp.int32), params, tx.init(params))


def dropout_key(seed: int) -> jax.Array:
    """The key from which each step folds its own."""
    return jax.random.fold_in(jax.random.key(seed), 1)
