"""Where hidden states leave a model: every model of this package sows them in the same way.

Letters of a shape: the table in `records`.
"""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.records import layer_names

HIDDEN = "hidden"  # the collection the states are sown into


def sow_state(model: nn.Module, name: str, x_BTD: jax.Array, row_N: jax.Array, column_N: jax.Array) -> None:
    """Sows the states of a layer at the places (`row_N`, `column_N`), [N, D], if the collection `HIDDEN` is mutable.

    The states are gathered before they are sown: otherwise the [B, T, D] of every layer would stay on the device until
    the end of the pass.
    """
    # `init` makes every collection mutable; without the second condition it would return states beside the parameters.
    if model.is_mutable_collection(HIDDEN) and not model.is_initializing():
        state_ND = x_BTD[row_N, column_N]
        # By default `sow` appends to a tuple; this reduction stores the array itself.
        model.sow(HIDDEN, f"layer_{name}", state_ND, init_fn=tuple, reduce_fn=lambda _, state: state)


def stacked(sown: Mapping[str, jax.Array], layers: int) -> jax.Array:
    """The sown states of a model with `layers` blocks, float32 [L, N, D], in the order of `records.layer_names`."""
    # By name: jit returns dicts with sorted keys, so `layer_10` would come before `layer_2`.
    return jnp.stack([sown[f"layer_{name}"] for name in layer_names(layers)]).astype(jnp.float32)
