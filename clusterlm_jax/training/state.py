"""What training carries from step to step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.training.spec import TrainSpec

Trainable = Callable[[str], bool]  # of the path of a parameter, its names joined by "/"


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


def optimiser(
    spec: TrainSpec, total_steps: jax.Array | float, trainable: Trainable | None = None
) -> optax.GradientTransformation:
    """AdamW on a cosine to 0, gradients clipped by their global norm (table 4).

    Args:
      trainable: whether the parameter of a path may change; the others stay bit by bit as they are, and have no part
        in the norm.
    """
    rate = optax.cosine_decay_schedule(spec.learning_rate, decay_steps=1)  # of the share of training done
    adamw = optax.chain(
        optax.clip_by_global_norm(spec.max_gradient_norm),
        optax.adamw(lambda step: rate(step / total_steps), weight_decay=spec.weight_decay),
    )
    if trainable is None:
        return adamw
    return optax.partition(
        {True: adamw, False: optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(lambda path, _: trainable(path_of(path)), params),
    )


def path_of(path: tuple[Any, ...]) -> str:
    """The names on the way to a parameter, joined by "/"."""
    return "/".join(str(entry.key) for entry in path)


def initial_state(
    model: GPT2, spec: TrainSpec, seed: int, trainable: Trainable | None = None, params: Any = None
) -> TrainState:
    """A model before its first step: with `params`, or as untrained as a seed makes it (epoch 0 of the analysis)."""
    if params is None:
        params = initial_params(model, jax.random.fold_in(jax.random.key(seed), 0))
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser(spec, 1, trainable).init(params))
