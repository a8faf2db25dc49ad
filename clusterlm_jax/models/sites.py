"""Where hidden states leave a model: every model of this package sows them alike.

Letters of a shape: B instance of a batch, T position, D width of the residual stream, F width of the feed-forward
network, H head, K width of a head, G key-value head, V vocabulary, N instance, L layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.records import layer_names

HIDDEN = "hidden"  # the collection the states are sown into


def sow_state(model: nn.Module, name: str, x_BTD: jax.Array, row_N: jax.Array, column_N: jax.Array) -> None:
    """Sows the states of a layer at (`row_N`, `column_N`), [N, D], where the collection `HIDDEN` is mutable.

    They are gathered first, so that no layer's [B, T, D] outlives its block.
    """
    if model.is_mutable_collection(HIDDEN) and not model.is_initializing():
        state_ND = x_BTD[row_N, column_N]
        model.sow(HIDDEN, f"layer_{name}", state_ND, init_fn=tuple, reduce_fn=lambda _, state: state)


def stacked(sown: Mapping[str, jax.Array], layers: int) -> jax.Array:
    """What a model with so many blocks has sown, float32 [L, N, D], in the order of `records.layer_names`."""
    return jnp.stack([sown[f"layer_{name}"] for name in layer_names(layers)]).astype(jnp.float32)
