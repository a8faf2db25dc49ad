"""What LLaMA and GPT-J have in common.

Parameters, and the operands of matrix products, have the compute dtype. Sums, norms, rotations, softmax and the
residual stream are float32. Accelerators multiply float32 operands in full precision only under
`jax.default_matmul_precision("highest")`, which `architectures.read_states` sets. Letters of a shape: the table in
`records`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.sites import Patch, site
from clusterlm_jax.records import UserError

Site = Callable[[str, jax.Array], jax.Array]  # the name of a layer and its states [B, T, D] -> what goes on
INITIAL_SCALE = 0.02  # standard deviation of random matrices and embeddings, in both models


class Dense(nn.Module):
    """x [..., D] times a kernel [D, F], plus a bias if `use_bias`; the result is float32."""

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
    """Blocks named `0`, `1`, ... in sequence, with a site after each."""

    block: Callable[..., nn.Module]
    layers: int

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array, at: Site) -> jax.Array:
        for index in range(self.layers):
            x_BTD = at(str(index + 1), self.block(name=str(index))(x_BTD, angle_TJ))
        return x_BTD


def read_last(
    model: nn.Module, trunk: nn.Module, tokens_BT: jax.Array, last_B: jax.Array, patch: Patch | None
) -> jax.Array:
    """Runs the trunk of a model; returns its last states at the columns `last_B`, [B, D].

    The states of every layer at these columns are sown into `model`, not into the trunk, so that all architectures sow
    under the same path. At the same sites, a `patch` puts other states in their place, at any token.

    Raises:
      UserError: rows are longer than the positions of the model.
    """
    if tokens_BT.shape[1] > model.spec.positions:
        raise UserError(f"A prompt has {tokens_BT.shape[1]} tokens; this model takes {model.spec.positions} at most.")
    row_B = jnp.arange(len(tokens_BT))
    at = partial(site, model, row_N=row_B, column_N=last_B, patch=patch)
    return trunk(tokens_BT, at)[row_B, last_B]


def embed(vocabulary: int, width: int, dtype: jnp.dtype, name: str) -> nn.Embed:
    """Word embeddings, stored and looked up in `dtype`.

    With two different types Flax would convert the whole table before every lookup.
    """
    init = nn.initializers.normal(INITIAL_SCALE)
    return nn.Embed(vocabulary, width, dtype=dtype, param_dtype=dtype, embedding_init=init, name=name)


def causal_attention(q_BTHW: jax.Array, k_BTIW: jax.Array, v_BTIW: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """The attention output of every position over itself and the earlier ones, float32 [B, T, H * W].

    Neighbouring query heads share a key-value head, the same number each (grouped queries; Ainslie et al., 2023).
    """
    rows, length, heads, width = q_BTHW.shape
    groups = k_BTIW.shape[2]
    q_BTIAW = q_BTHW.reshape(rows, length, groups, heads // groups, width).astype(dtype)
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    # The shared keys and values are not repeated: the products run over (key-value head, query head of it) instead.
    score_BIATT = product("btiaw,bsiw->biats", q_BTIAW, k_BTIW.astype(dtype)) * width**-0.5
    causal_TT = jnp.tri(length, dtype=bool)  # each position sees itself, so softmax never gets -inf alone
    weight_BIATT = nn.softmax(jnp.where(causal_TT[None, None, None], score_BIATT, -jnp.inf))
    read_BTIAW = product("biats,bsiw->btiaw", weight_BIATT.astype(dtype), v_BTIW.astype(dtype))
    return read_BTIAW.reshape(rows, length, heads * width)
