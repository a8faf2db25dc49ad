"""LLaMA in Flax Linen, with sow sites at every layer; its parameters have transformers' Flax names and shapes.

Pre-norm blocks with RMSNorm, rotary positions, grouped queries, a gated feed-forward network and no biases (Touvron et
al., 2023). We do not use the Flax graph of transformers because it ignores `rope_theta` and `rope_scaling`. There is no
language head: nothing here predicts the next token. Letters of a shape: the table in `records`.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.layers import Blocks, Dense, Site, causal_attention, embed, read_last
from clusterlm_jax.models.pretrained import rotary
from clusterlm_jax.models.sites import Patch
from clusterlm_jax.records import FINAL_NORM


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
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        # The weight is stored in the compute dtype, like all parameters, and applied in float32.
        weight_D = self.param("weight", nn.initializers.ones, x_BTD.shape[-1:], self.dtype)
        square_BT1 = jnp.mean(jnp.square(x_BTD), axis=-1, keepdims=True)
        return x_BTD * jax.lax.rsqrt(square_BT1 + self.epsilon) * weight_D[None, None].astype(jnp.float32)


class Attention(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        rows, length, width = x_BTD.shape
        heads = (rows, length, -1, spec.head_dim)
        q_BTHW = Dense(spec.heads * spec.head_dim, dtype, name="q_proj")(x_BTD).reshape(heads)
        k_BTIW = Dense(spec.kv_heads * spec.head_dim, dtype, name="k_proj")(x_BTD).reshape(heads)
        v_BTIW = Dense(spec.kv_heads * spec.head_dim, dtype, name="v_proj")(x_BTD).reshape(heads)
        q_BTHW, k_BTIW = rotary.rotate_halves(q_BTHW, angle_TJ), rotary.rotate_halves(k_BTIW, angle_TJ)
        return Dense(width, dtype, name="o_proj")(causal_attention(q_BTHW, k_BTIW, v_BTIW, dtype))


class FeedForward(nn.Module):
    """Gated by SiLU (Shazeer, 2020)."""

    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        gate_BTF = nn.silu(Dense(spec.ffn_dim, dtype, name="gate_proj")(x_BTD))
        up_BTF = Dense(spec.ffn_dim, dtype, name="up_proj")(x_BTD)
        return Dense(spec.hidden_dim, dtype, name="down_proj")(gate_BTF * up_BTF)


class Block(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array) -> jax.Array:
        norm = partial(RMSNorm, self.spec.norm_epsilon, jnp.dtype(self.spec.compute_dtype))
        x_BTD = x_BTD + Attention(self.spec, name="self_attn")(norm(name="input_layernorm")(x_BTD), angle_TJ)
        return x_BTD + FeedForward(self.spec, name="mlp")(norm(name="post_attention_layernorm")(x_BTD))


class Trunk(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, tokens_BT: jax.Array, at: Site) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        x_BTD = embed(spec.vocabulary, spec.hidden_dim, dtype, name="embed_tokens")(tokens_BT).astype(jnp.float32)
        x_BTD = at("0", x_BTD)
        frequency_J = rotary.inverse_frequencies(spec.head_dim, spec.rope_theta, spec.rope_scaling)
        angle_TJ = rotary.angles(tokens_BT.shape[1], frequency_J)
        x_BTD = Blocks(partial(Block, spec), spec.layers, name="layers")(x_BTD, angle_TJ, at)
        x_BTD = RMSNorm(spec.norm_epsilon, dtype, name="norm")(x_BTD)
        return at(FINAL_NORM, x_BTD)


class Llama(nn.Module):
    spec: LlamaSpec

    @nn.compact
    def __call__(self, tokens_BT: jax.Array, last_B: jax.Array, patch: Patch | None = None) -> jax.Array:
        """The state after the final norm of each row's token `last_B`, float32 [B, D].

        Rows may be right-padded with any token: attention is causal, so no token sees the padding after it. If the
        collection `sites.HIDDEN` is mutable, the states of these tokens are sown into it, one [B, D] for each layer:
        `0` the word embedding, `i` the residual stream after block i, `final_norm` after the final norm.
        At the same sites, a `patch` puts other states in their place, at any token.

        Raises:
          UserError: rows are longer than the positions of the model.
        """
        return read_last(self, Trunk(self.spec, name="model"), tokens_BT, last_B, patch)
