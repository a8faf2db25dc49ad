"""GPT-J in Flax Linen, with sow sites at every layer; its parameters have transformers' Flax names and shapes.

One LayerNorm feeds both attention and feed-forward network, and both results are added to the residual stream. Rotary
positions rotate the first numbers of each head, in neighbouring pairs. The GELU is the tanh one. Only the feed-forward
network has biases (Wang and Komatsuzaki, 2021). There is no language head: nothing here predicts the next token.

Letters of a shape: the table in `records`.
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

ROPE_THETA = 10_000.0


@dataclasses.dataclass(frozen=True)
class GPTJSpec:
    """The shape of a GPT-J, from its checkpoint's configuration (`architectures.model_of` checks it)."""

    vocabulary: int
    hidden_dim: int
    ffn_dim: int
    layers: int
    heads: int
    rotary_dim: int  # how many numbers of each head rotate
    positions: int
    norm_epsilon: float
    compute_dtype: str


class Attention(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        dense = partial(Dense, spec.hidden_dim, dtype)
        rows, length, _ = x_BTD.shape
        q_BTHW, k_BTHW, v_BTHW = (
            dense(name=name)(x_BTD).reshape(rows, length, spec.heads, -1) for name in ("q_proj", "k_proj", "v_proj")
        )
        q_BTHW, k_BTHW = rotary.rotate_pairs(q_BTHW, angle_TJ), rotary.rotate_pairs(k_BTHW, angle_TJ)
        return dense(name="out_proj")(causal_attention(q_BTHW, k_BTHW, v_BTHW, dtype))


class FeedForward(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        h_BTF = nn.gelu(Dense(spec.ffn_dim, dtype, use_bias=True, name="fc_in")(x_BTD), approximate=True)
        return Dense(spec.hidden_dim, dtype, use_bias=True, name="fc_out")(h_BTF)


class Block(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, x_BTD: jax.Array, angle_TJ: jax.Array) -> jax.Array:
        h_BTD = _norm(self.spec, "ln_1")(x_BTD)
        return x_BTD + Attention(self.spec, name="attn")(h_BTD, angle_TJ) + FeedForward(self.spec, name="mlp")(h_BTD)


class Trunk(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, tokens_BT: jax.Array, at: Site) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        x_BTD = embed(spec.vocabulary, spec.hidden_dim, dtype, name="wte")(tokens_BT).astype(jnp.float32)
        x_BTD = at("0", x_BTD)
        angle_TJ = rotary.angles(tokens_BT.shape[1], rotary.inverse_frequencies(spec.rotary_dim, ROPE_THETA))
        x_BTD = Blocks(partial(Block, spec), spec.layers, name="h")(x_BTD, angle_TJ, at)
        x_BTD = _norm(spec, "ln_f")(x_BTD)
        return at(FINAL_NORM, x_BTD)


class GPTJ(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, tokens_BT: jax.Array, last_B: jax.Array, patch: Patch | None = None) -> jax.Array:
        """As in `llama.Llama`: the state after the final norm of each row's token `last_B`, float32 [B, D]."""
        return read_last(self, Trunk(self.spec, name="transformer"), tokens_BT, last_B, patch)


def _norm(spec: GPTJSpec, name: str) -> nn.LayerNorm:
    """A LayerNorm in float32, with the variance as E[(x - mean)^2]; E[x^2] - mean^2 loses digits at a large mean."""
    dtype = jnp.dtype(spec.compute_dtype)
    return nn.LayerNorm(spec.norm_epsilon, dtype=jnp.float32, param_dtype=dtype, use_fast_variance=False, name=name)
