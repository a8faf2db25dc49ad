"""Trains the switch between two language heads, on hidden states of a model that does not change (paper F.1)."""

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
    """The parameters of a switch after its last step; they follow from the arguments alone.

    The loss is the binary cross-entropy of the question whether an instance belongs to a source task. There are many
    more examples of source tasks than of other tasks. So that the switch does not simply learn the larger class, each
    of the two classes has half of the weight.

    Args:
      state_ND: the states the switch reads.
      source_N: bool, whether the instance belongs to a source task.
      there_N: bool, False for padding, which is left out of the loss.
    """
    weight_N = sum(
        jnp.where(class_N & there_N, 0.5 / jnp.maximum((class_N & there_N).sum(), 1), 0.0)
        for class_N in (source_N, ~source_N)
    )  # the maximum keeps an empty class from dividing by 0
    adamw = optax.adamw(spec.learning_rate)

    def loss_of(params: Any) -> jax.Array:
        logit_N = switch.apply({"params": params}, state_ND)
        return (weight_N * optax.sigmoid_binary_cross_entropy(logit_N, source_N.astype(logit_N.dtype))).sum()

    def step(carried, _):
        params, opt_state = carried
        updates, opt_state = adamw.update(jax.grad(loss_of)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    with jax.default_matmul_precision("highest"):  # full float32 also on accelerators, as the states were read
        params = switch.init(key, state_ND[:1])["params"]
        (params, _), _ = jax.lax.scan(step, (params, adamw.init(params)), length=spec.steps)
    return params
