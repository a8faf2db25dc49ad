"""Where hidden states leave a model, and where others may take their place: every model of this package does it alike.

Letters of a shape: the table in `records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.records import layer_names

HIDDEN = "hidden"  # the collection the states are sown into


class Patch(NamedTuple):
    """States to put in the place of a model's own, M of them: an argument of its `apply` (activation patching).

    To swap, to move and to remove are the same to a model: some states get other values. A patch at a layer changes no
    earlier state, so whatever the new values depend on can be read before, in a pass without a patch.

    Attributes:
      layer_M: int32, an index into `records.layer_names`. It is traced, so one program serves all layers, and each
        patch may have its own. A negative one patches nothing.
      row_M, column_M: int32, the place of the token.
      state_MD: float32, what the sites of the layer would sow.
    """

    layer_M: jax.Array
    row_M: jax.Array
    column_M: jax.Array
    state_MD: jax.Array


def site(
    model: nn.Module, name: str, x_BTD: jax.Array, row_N: jax.Array, column_N: jax.Array, patch: Patch | None = None
) -> jax.Array:
    """The states of a layer as the model goes on with them: its own, or a patch's where there is one.

    At the places (`row_N`, `column_N`) they are sown, [N, D], if the collection `HIDDEN` is mutable. They are gathered
    before they are sown: otherwise the [B, T, D] of every layer would stay on the device until the end of the pass.
    """
    if patch is not None:
        here_M = patch.layer_M == layer_names(model.spec.layers).index(name)
        # The patches of other layers go to a row that does not exist, and are dropped: no shape depends on the layer.
        row_M = jnp.where(here_M, patch.row_M, len(x_BTD))
        x_BTD = x_BTD.at[row_M, patch.column_M].set(patch.state_MD, mode="drop")
    # `init` makes every collection mutable; without the second condition it would return states beside the parameters.
    if model.is_mutable_collection(HIDDEN) and not model.is_initializing():
        state_ND = x_BTD[row_N, column_N]
        # By default `sow` appends to a tuple; this reduction stores the array itself.
        model.sow(HIDDEN, f"layer_{name}", state_ND, init_fn=tuple, reduce_fn=lambda _, state: state)
    return x_BTD


def stacked(sown: Mapping[str, jax.Array], layers: int) -> jax.Array:
    """The sown states of a model with `layers` blocks, float32 [L, N, D], in the order of `records.layer_names`."""
    # By name: jit returns dicts with sorted keys, so `layer_10` would come before `layer_2`.
    return jnp.stack([sown[f"layer_{name}"] for name in layer_names(layers)]).astype(jnp.float32)
