"""What LLaMA and GPT-J have in common.

Parameters are stored in the compute dtype and matrix products take operands of it; sums, norms, rotations, softmax and
the residual stream are float32. In float32 the products are true ones only under
`jax.default_matmul_precision("highest")`, which `architectures.read_states` sets. Letters as in `sites`, and Q query
head of a group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.sites import sow_state
from clusterlm_jax.records import UserError

Sow = Callable[[str, jax.Array], None]  # the name of a layer and its states [B, T, D]
INITIAL_SCALE = 0.02  # of matrices and embeddings, in both models


class Dense(nn.Module):
    """x [..., D] times a kernel [D, F], plus a bias where there is one; float32."""

    features: int
    dtype: jnp.dtype
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features)
        kernel_DF = self.param("kernel", nn.initializers.normal(INITIAL_SCALE), shape, self.dtype)
        y = jnp.matmul(x.astype(self.dtype), kernel_DF, preferred_element_type=jnp.float32)
        if not self.use_bias:
            return y
        bias_F = self.param("bias", nn.initializers.zeros, shape[1:], self.dtype)
        return y + jnp.broadcast_to(bias_F, y.shape)


class Blocks(nn.Module):
    """Blocks named `0`, `1`, ..., one after the other; the residual stream is sown after each."""

    block: Callable[..., nn.Module]
    layers: int

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array, sow: Sow) -> jax.Array:
        for index in range(self.layers):
            x_BTD = self.block(name=str(index))(x_BTD, angle_TJ)
            sow(str(index + 1), x_BTD)
        return x_BTD


def read_last(model: nn.Module, trunk: nn.Module, tokens_BT: jax.Array, last_B: jax.Array) -> jax.Array:
    """What the trunk of a model ends with at `last_B`, [B, D]; the states on the way are sown into the model."""
    if tokens_BT.shape[1] > model.spec.positions:
        raise UserError(f"A prompt has {tokens_BT.shape[1]} tokens; this model takes {model.spec.positions} at most.")
    row_B = jnp.arange(len(tokens_BT))
    return trunk(tokens_BT, lambda name, x_BTD: sow_state(model, name, x_BTD, row_B, last_B))[row_B, last_B]


def embed(vocabulary: int, width: int, dtype: jnp.dtype, name: str) -> nn.Embed:
    """Word embeddings in their own dtype: in another, Flax would convert the whole table before it looks words up."""
    init = nn.initializers.normal(INITIAL_SCALE)
    return nn.Embed(vocabulary, width, dtype=dtype, param_dtype=dtype, embedding_init=init, name=name)


def causal_attention(q_BTHK: jax.Array, k_BTGK: jax.Array, v_BTGK: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """What each position reads from itself and those before it, float32 [B, T, H * K].

    Query heads share the key-value heads in equal groups, neighbours together (Ainslie et al., 2023).
    """
    rows, length, heads, width = q_BTHK.shape
    groups = k_BTGK.shape[2]
    q_BTGQK = q_BTHK.reshape(rows, length, groups, heads // groups, width).astype(dtype)
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    score_BGQTT = product("btgqk,bsgk->bgqts", q_BTGQK, k_BTGK.astype(dtype)) * width**-0.5
    causal_TT = jnp.tri(length, dtype=bool)
    weight_BGQTT = nn.softmax(jnp.where(causal_TT[None, None, None], score_BGQTT, -jnp.inf))
    read_BTGQK = product("bgqts,bsgk->btgqk", weight_BGQTT.astype(dtype), v_BTGK.astype(dtype))
    return read_BTGQK.reshape(rows, length, heads * width)
