"""Training the switch between two language heads, on states of a model that stays as it is (paper F.1)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from clusterlm_jax.models.heads import Switch
from clusterlm_jax.training.spec import SwitchSpec


def train_switch(
    switch: Switch, spec: SwitchSpec, key: jax.Array, state_ND: jax.Array, source_N: jax.Array, there_N: jax.Array
) -> Any:
    """The parameters of a switch after its last step, a function of its arguments alone.

    The loss is the cross-entropy of whether an instance belongs to a source task. There are many more instances of
    source tasks than of others, so each of the two classes has half the weight.

    Args:
      state_ND: what it is to read.
      source_N: bool, whether the task is a source task.
      there_N: bool; what is not there has no part in it.
    """
    weight_N = sum(
        jnp.where(class_N & there_N, 0.5 / jnp.maximum((class_N & there_N).sum(), 1), 0.0)
        for class_N in (source_N, ~source_N)
    )
    adamw = optax.adamw(spec.learning_rate)

    def loss_of(params: Any) -> jax.Array:
        logit_N = switch.apply({"params": params}, state_ND)
        return (weight_N * optax.sigmoid_binary_cross_entropy(logit_N, source_N.astype(logit_N.dtype))).sum()

    def step(carried, _):
        params, opt_state = carried
        updates, opt_state = adamw.update(jax.grad(loss_of)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    with jax.default_matmul_precision("highest"):
        params = switch.init(key, state_ND[:1])["params"]
        (params, _), _ = jax.lax.scan(step, (params, adamw.init(params)), length=spec.steps)
    return params
