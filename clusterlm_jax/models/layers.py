"""What LLaMA and GPT-J have in common.

Parameters, and the operands of matrix products, have the compute dtype. Sums, norms, rotations, softmax and the
residual stream are float32. Accelerators multiply float32 operands in full precision only under
`jax.default_matmul_precision("highest")`, which `architectures.read_states` sets. Letters of a shape: the table in
`records`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.gpt2 import attention_mask
from clusterlm_jax.models.sites import Patch, site
from clusterlm_jax.records import Batch, UserError

HEADS = NO_HEAD, OWN_HEAD, TIED_HEAD = ("", "own", "tied")  # a matrix of its own, or the word embedding
Site = Callable[[str, jax.Array], jax.Array]  # the name of a layer and its states [R, T, D] -> what goes on
INITIAL_SCALE = 0.02  # standard deviation of random matrices and embeddings, in both models


class Dense(nn.Module):
    """x [..., D] times a kernel [D, F], plus a bias if `use_bias`; the result is float32."""

    features: int
    dtype: jnp.dtype
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, kernel_DF: jax.Array | None = None) -> jax.Array:
        shape = (x.shape[-1], self.features)
        if kernel_DF is None:  # otherwise it is tied to a parameter of another layer
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
    def __call__(self, x_RTD: jax.Array, angle_RTJ: jax.Array, mask_RTT: jax.Array, at: Site) -> jax.Array:
        for index in range(self.layers):
            x_RTD = at(str(index + 1), self.block(name=str(index))(x_RTD, angle_RTJ, mask_RTT))
        return x_RTD


def one_in_a_row(tokens_BT: jax.Array, last_B: jax.Array, positions: int) -> Batch:
    """A prompt in each row, read at the columns `last_B`.

    Rows may be right-padded with any token: attention is causal, so no token sees the padding after it.

    Raises:
      UserError: rows are longer than the positions of the model.
    """
    rows, length = tokens_BT.shape
    if length > positions:
        raise UserError(f"A prompt has {length} tokens; this model takes {positions} at most.")
    position_BT = jnp.broadcast_to(jnp.arange(length)[None], tokens_BT.shape)
    one_BT, nothing_B = jnp.ones_like(position_BT), jnp.zeros_like(last_B)
    return Batch(tokens_BT, position_BT, one_BT, 0 * one_BT, one_BT, jnp.arange(rows), last_B, nothing_B, nothing_B)


def read_inputs(model: nn.Module, trunk: Callable[..., jax.Array], batch: Batch, patch: Patch | None) -> jax.Array:
    """Runs the trunk of a model; returns its last states at the input tokens of a batch, [N, D].

    The states of every layer at these tokens are sown into `model`, not into the trunk, so that all architectures sow
    under the same path. At the same sites, a `patch` puts other states in their place, at any token.
    """
    at = partial(site, model, row_N=batch.row_N, column_N=batch.column_N, patch=patch)
    return trunk(batch.tokens_RT, batch.position_RT, attention_mask(batch), at)[batch.row_N, batch.column_N]


def next_token(
    spec: Any, head: str, state_ND: jax.Array, embedding: Callable[[], jax.Array], use_bias: bool = False
) -> jax.Array:
    """Next-token logits, float32 [N, V], by the head `lm_head` of the module that calls this; without one, the states.

    Args:
      spec: its vocabulary and compute dtype are read.
      head: one of `HEADS`.
      embedding: gives the word embedding [V, D], for a tied head.
    """
    if head == NO_HEAD:
        return state_ND
    dense = Dense(spec.vocabulary, jnp.dtype(spec.compute_dtype), use_bias, name="lm_head")
    return dense(state_ND, embedding().T if head == TIED_HEAD else None)


def embed(vocabulary: int, width: int, dtype: jnp.dtype, name: str) -> nn.Embed:
    """Word embeddings, stored and looked up in `dtype`.

    With two different types Flax would convert the whole table before every lookup.
    """
    init = nn.initializers.normal(INITIAL_SCALE)
    return nn.Embed(vocabulary, width, dtype=dtype, param_dtype=dtype, embedding_init=init, name=name)


def attention(
    q_RTHW: jax.Array, k_RTIW: jax.Array, v_RTIW: jax.Array, mask_RTT: jax.Array, dtype: jnp.dtype
) -> jax.Array:
    """The attention output of every token over those it sees, itself among them, float32 [R, T, H * W].

    Neighbouring query heads share a key-value head, the same number each (grouped queries; Ainslie et al., 2023).
    """
    rows, length, heads, width = q_RTHW.shape
    groups = k_RTIW.shape[2]
    q_RTIAW = q_RTHW.reshape(rows, length, groups, heads // groups, width).astype(dtype)
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    # The shared keys and values are not repeated: the products run over (key-value head, query head of it) instead.
    score_RIATT = product("rtiaw,rsiw->riats", q_RTIAW, k_RTIW.astype(dtype)) * width**-0.5
    # Each token sees itself, padding too, so softmax never gets -inf alone.
    weight_RIATT = nn.softmax(jnp.where(mask_RTT[:, None, None], score_RIATT, -jnp.inf))
    read_RTIAW = product("riats,rsiw->rtiaw", weight_RIATT.astype(dtype), v_RTIW.astype(dtype))
    return read_RTIAW.reshape(rows, length, heads * width)
