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
    """Step, parameters and optimiser state.

    There is no random key: dropout follows from (seed, step) alone, so resuming changes no random number.
    """

    step: jax.Array
    params: Any
    opt_state: Any


@flax.struct.dataclass
class Course:
    """What differs between the steps of one seed and of another.

    It is an argument of the compiled program, not a constant in it: all seeds share one program.

    Attributes:
      key: each step folds its number into this key and draws its dropout from the result.
      total_steps: number of steps of the whole training; the learning rate is 0 at its end.
    """

    key: jax.Array
    total_steps: jax.Array


def course(seed: int, total_steps: int) -> Course:
    return Course(jax.random.fold_in(jax.random.key(seed), 1), jnp.asarray(total_steps, jnp.float32))


def optimiser(spec: TrainSpec, total_steps: jax.Array | float, trainable: str = "") -> optax.GradientTransformation:
    """AdamW on a cosine to 0, gradients clipped by their global norm (table 4).

    Args:
      trainable: the path of the only parameter that changes, empty for all. The others stay bit by bit as they are
        and do not count in the norm.
    """
    # A schedule over the share of training done, from 0 to 1: `total_steps` differs between the seeds of a program, so
    # it may be a traced value, which `decay_steps` does not take.
    rate = optax.cosine_decay_schedule(spec.learning_rate, decay_steps=1)
    adamw = optax.chain(
        optax.clip_by_global_norm(spec.max_gradient_norm),
        optax.adamw(lambda step: rate(step / total_steps), weight_decay=spec.weight_decay),
    )
    if not trainable:
        return adamw
    # `set_to_zero` for the rest: frozen parameters get no weight decay and no moments, and the norm leaves them out.
    return optax.partition(
        {True: adamw, False: optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(lambda path, _: path_of(path) == trainable, params),
    )


def path_of(path: tuple[Any, ...]) -> str:
    """The path of a parameter in its tree: names joined by "/"."""
    return "/".join(str(entry.key) for entry in path)


def initial_state(model: GPT2, spec: TrainSpec, seed: int, trainable: str = "", params: Any = None) -> TrainState:
    """The state before the first step: with `params`, or with the random parameters of a seed (the untrained model)."""
    if params is None:
        params = initial_params(model, jax.random.fold_in(jax.random.key(seed), 0))
    # The optimiser's state does not depend on `total_steps`; any number will do.
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser(spec, 1, trainable).init(params))
