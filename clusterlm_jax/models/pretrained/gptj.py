"""GPT-J in Flax Linen, with sow sites at every layer; its parameters have transformers' Flax names and shapes.

One LayerNorm feeds both attention and feed-forward network, and both results are added to the residual stream. Rotary
positions rotate the first numbers of each head, in neighbouring pairs. The GELU is the tanh one. Only the feed-forward
network and the language head have biases (Wang and Komatsuzaki, 2021). The head is built only where it is asked for.

Letters of a shape: the table in `records`.
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
    def __call__(self, x_RTD: jax.Array, angle_RTJ: jax.Array, mask_RTT: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        dense = partial(Dense, spec.hidden_dim, dtype)
        rows, length, _ = x_RTD.shape
        q_RTHW, k_RTHW, v_RTHW = (
            dense(name=name)(x_RTD).reshape(rows, length, spec.heads, -1) for name in ("q_proj", "k_proj", "v_proj")
        )
        q_RTHW, k_RTHW = rotary.rotate_pairs(q_RTHW, angle_RTJ), rotary.rotate_pairs(k_RTHW, angle_RTJ)
        return dense(name="out_proj")(attention(q_RTHW, k_RTHW, v_RTHW, mask_RTT, dtype))


class FeedForward(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, x_RTD: jax.Array) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        h_RTF = nn.gelu(Dense(spec.ffn_dim, dtype, use_bias=True, name="fc_in")(x_RTD), approximate=True)
        return Dense(spec.hidden_dim, dtype, use_bias=True, name="fc_out")(h_RTF)


class Block(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, x_RTD: jax.Array, angle_RTJ: jax.Array, mask_RTT: jax.Array) -> jax.Array:
        h_RTD = _norm(self.spec, "ln_1")(x_RTD)
        x_RTD = x_RTD + Attention(self.spec, name="attn")(h_RTD, angle_RTJ, mask_RTT)
        return x_RTD + FeedForward(self.spec, name="mlp")(h_RTD)


class Trunk(nn.Module):
    spec: GPTJSpec

    @nn.compact
    def __call__(self, tokens_RT: jax.Array, position_RT: jax.Array, mask_RTT: jax.Array, at: Site) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        x_RTD = embed(spec.vocabulary, spec.hidden_dim, dtype, name="wte")(tokens_RT).astype(jnp.float32)
        x_RTD = at("0", x_RTD)
        angle_RTJ = rotary.angles(position_RT, rotary.inverse_frequencies(spec.rotary_dim, ROPE_THETA))
        x_RTD = Blocks(partial(Block, spec), spec.layers, name="h")(x_RTD, angle_RTJ, mask_RTT, at)
        x_RTD = _norm(spec, "ln_f")(x_RTD)
        return at(FINAL_NORM, x_RTD)


class GPTJ(nn.Module):
    """The model; `head` is one of `layers.HEADS`, by default none."""

    spec: GPTJSpec
    head: str = NO_HEAD

    def __call__(self, tokens_BT: jax.Array, last_B: jax.Array, patch: Patch | None = None) -> jax.Array:
        """As in `llama.Llama`: the state after the final norm of each row's token `last_B`, or the logits there."""
        return self.at_inputs(one_in_a_row(tokens_BT, last_B, self.spec.positions), patch)

    @nn.compact
    def at_inputs(self, batch: Batch, patch: Patch | None = None) -> jax.Array:
        """As in `llama.Llama`; the head has a bias."""
        trunk = Trunk(self.spec, name="transformer")
        state_ND = read_inputs(self, trunk, batch, patch)
        return next_token(self.spec, self.head, state_ND, lambda: _words(trunk), use_bias=True)


def _words(trunk: Trunk) -> jax.Array:
    return trunk.get_variable("params", "wte")["embedding"]


def _norm(spec: GPTJSpec, name: str) -> nn.LayerNorm:
    """A LayerNorm in float32, with the variance as E[(x - mean)^2]; E[x^2] - mean^2 loses digits at a large mean."""
    dtype = jnp.dtype(spec.compute_dtype)
    return nn.LayerNorm(spec.norm_epsilon, dtype=jnp.float32, param_dtype=dtype, use_fast_variance=False, name=name)
