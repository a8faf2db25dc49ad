"""LLaMA in Flax Linen, with sow sites at every layer; its parameters have transformers' Flax names and shapes.

Pre-norm blocks with RMSNorm, rotary positions, grouped queries, a gated feed-forward network and no biases (Touvron et
al., 2023). We do not use the Flax graph of transformers because it ignores `rope_theta` and `rope_scaling`. The
language head is built only where it is asked for. Letters of a shape: the table in `records`.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.layers import (
    NO_HEAD,
    Blocks,
    Dense,
    Site,
    attention,
    embed,
    next_token,
    one_in_a_row,
    read_inputs,
)
from clusterlm_jax.models.pretrained import rotary
from clusterlm_jax.models.sites import Patch
from clusterlm_jax.records import FINAL_NORM, Batch


@dataclasses.dataclass(frozen=True)
class LlamaSpec:
    """The shape of a LLaMA, from its checkpoint's configuration (`architectures.model_of` checks it)."""

    vocabulary: int
    hidden_dim: int
    ffn_dim: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    positions: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: rotary.RopeScaling | None
    compute_dtype: str


class RMSNorm(nn.Module):
    """Division by the root of the mean square, in float32 (Zhang and Sennrich, 2019)."""

    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x_RTD: jax.Array) -> jax.Array:
        # The weight is stored in the compute dtype, like all parameters, and applied in float32.
        weight_D = self.param("weight", nn.initializers.ones, x_RTD.shape[-1:], self.dtype)
        square_RT1 = jnp.mean(jnp.square(x_RTD), axis=-1, keepdims=True)
        return x_RTD * jax.lax.rsqrt(square_RT1 + self.epsilon) * weight_D[None, None].astype(jnp.float32)


class Attention(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_RTD: jax.Array, angle_RTJ: jax.Array, mask_RTT: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        rows, length, width = x_RTD.shape
        heads = (rows, length, -1, spec.head_dim)
        q_RTHW = Dense(spec.heads * spec.head_dim, dtype, name="q_proj")(x_RTD).reshape(heads)
        k_RTIW = Dense(spec.kv_heads * spec.head_dim, dtype, name="k_proj")(x_RTD).reshape(heads)
        v_RTIW = Dense(spec.kv_heads * spec.head_dim, dtype, name="v_proj")(x_RTD).reshape(heads)
        q_RTHW, k_RTIW = rotary.rotate_halves(q_RTHW, angle_RTJ), rotary.rotate_halves(k_RTIW, angle_RTJ)
        return Dense(width, dtype, name="o_proj")(attention(q_RTHW, k_RTIW, v_RTIW, mask_RTT, dtype))


class FeedForward(nn.Module):
    """Gated by SiLU (Shazeer, 2020)."""

    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_RTD: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        gate_RTF = nn.silu(Dense(spec.ffn_dim, dtype, name="gate_proj")(x_RTD))
        up_RTF = Dense(spec.ffn_dim, dtype, name="up_proj")(x_RTD)
        return Dense(spec.hidden_dim, dtype, name="down_proj")(gate_RTF * up_RTF)


class Block(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_RTD: jax.Array, angle_RTJ: jax.Array, mask_RTT: jax.Array) -> jax.Array:
        norm = partial(RMSNorm, self.spec.norm_epsilon, jnp.dtype(self.spec.compute_dtype))
        h_RTD = norm(name="input_layernorm")(x_RTD)
        x_RTD = x_RTD + Attention(self.spec, name="self_attn")(h_RTD, angle_RTJ, mask_RTT)
        return x_RTD + FeedForward(self.spec, name="mlp")(norm(name="post_attention_layernorm")(x_RTD))


class Trunk(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, tokens_RT: jax.Array, position_RT: jax.Array, mask_RTT: jax.Array, at: Site) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        x_RTD = embed(spec.vocabulary, spec.hidden_dim, dtype, name="embed_tokens")(tokens_RT).astype(jnp.float32)
        x_RTD = at("0", x_RTD)
        frequency_J = rotary.inverse_frequencies(spec.head_dim, spec.rope_theta, spec.rope_scaling)
        angle_RTJ = rotary.angles(position_RT, frequency_J)
        x_RTD = Blocks(partial(Block, spec), spec.layers, name="layers")(x_RTD, angle_RTJ, mask_RTT, at)
        x_RTD = RMSNorm(spec.norm_epsilon, dtype, name="norm")(x_RTD)
        return at(FINAL_NORM, x_RTD)


class Llama(nn.Module):
    """The model; `head` is one of `layers.HEADS`, by default none."""

    spec: LlamaSpec
    head: str = NO_HEAD

    def __call__(self, tokens_BT: jax.Array, last_B: jax.Array, patch: Patch | None = None) -> jax.Array:
        """As `at_inputs` with a prompt in each row, read at its token `last_B`; float32 [B, D], with a head [B, V].

        Rows may be right-padded with any token.

        Raises:
          UserError: rows are longer than the positions of the model.
        """
        return self.at_inputs(one_in_a_row(tokens_BT, last_B, self.spec.positions), patch)

    @nn.compact
    def at_inputs(self, batch: Batch, patch: Patch | None = None) -> jax.Array:
        """The state after the final norm at each input token, float32 [N, D]; with a head, next-token logits [N, V].

        If the collection `sites.HIDDEN` is mutable, the states of these tokens are sown into it, one [N, D] for each
        layer: `0` the word embedding, `i` the residual stream after block i, `final_norm` after the final norm.
        At the same sites, a `patch` puts other states in their place, at any token.
        """
        trunk = Trunk(self.spec, name="model")
        state_ND = read_inputs(self, trunk, batch, patch)
        return next_token(self.spec, self.head, state_ND, lambda: _words(trunk))


def _words(trunk: Trunk) -> jax.Array:
    return trunk.get_variable("params", "embed_tokens")["embedding"]
