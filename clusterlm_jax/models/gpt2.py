"""GPT-2 in Flax Linen, a pure function of (params, batch, rng), with sow sites at every layer.

Pre-norm blocks, tanh GELU, learned positions, tied head, epsilon 1e-5 (Radford et al., 2019). Letters of a shape: the
table in `records`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.precision import bfloat16_dot_general
from clusterlm_jax.models.sites import Patch, site
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import FINAL_NORM, Batch

EPSILON = 1e-5  # GPT-2's; the default of Flax is 1e-6


def attention_mask(batch: Batch) -> jax.Array:
    """Which token (second axis) sees which (third axis), bool [R, T, T].

    A token sees itself and the earlier tokens of its own segment: those of the instruction (branch 0), and those of its
    own branch. It does not see the other inputs that share the instruction.
    """
    segment, branch = batch.segment_RT, batch.branch_RT
    same_segment = segment[:, :, None] == segment[:, None, :]
    same_branch = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    causal = jnp.tri(segment.shape[1], dtype=bool)[None]
    return same_segment & same_branch & causal


class Dropout(nn.Module):
    """Dropout with cheap random numbers: 16 bits of a hash of each element's index.

    16 bits give the rate to within 1e-5 (half of 2**-16), which is far more than the rate needs. What is kept is scaled
    by the rate as rounded, so the mean is exact.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        if deterministic or self.rate == 0:
            return x
        kept = round((1 - self.rate) * 2**16)  # of the 2**16 numbers, how many keep an element
        return jnp.where(_random_16_bits(self.make_rng("dropout"), x.shape) < kept, x * (2**16 / kept), 0)


def _random_16_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random numbers from 0 to 65535, uint32: each element's index, hashed together with both halves of the key.

    `jax.random.bits` (threefry) is slow on a CPU: at width 128 it would cost as much as the matrix products. Dropout
    does not need its guarantees. The hash is Wellons' lowbias32 (github.com/skeeto/hash-prospector); the compiler fuses
    it into the operations around it.
    """
    words = jax.random.key_data(key)  # two words (threefry), or four (the generators made for accelerators)
    first, second = words[0], words[-1]
    index = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(_hash(index ^ first) + second) >> 16


def _hash(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def attend(
    q_RTHW: jax.Array, k_RTHW: jax.Array, v_RTHW: jax.Array, mask_RTT: jax.Array, drop: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """What every token reads from those it sees, float32 [R, T, H, W]; `drop` drops attention weights.

    The scores of all pairs of a row are computed, though most are masked: 73% in packed rows of 64. Leaving out the
    masked half of a row's blocks would save a quarter of this at most. This is 7% of a step's operations at width 256
    and 3% at 768 (benchmarks/step_shares.py measures the time).
    """
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)  # sums in float32, whatever the operands are
    score_RHTT = product("rqhw,rshw->rhqs", q_RTHW, k_RTHW) * q_RTHW.shape[-1] ** -0.5
    weight_RHTT = nn.softmax(jnp.where(mask_RTT[:, None], score_RHTT, -1e30))
    return product("rhqs,rshw->rqhw", drop(weight_RHTT).astype(v_RTHW.dtype), v_RTHW)


class Block(nn.Module):
    """Attention, then a feed-forward network. Each reads the normalised residual stream and adds its result to it."""

    spec: GPT2Spec

    @nn.compact
    def __call__(self, x_RTD: jax.Array, mask_RTT: jax.Array, deterministic: bool) -> jax.Array:
        spec, dtype = self.spec, jnp.dtype(self.spec.compute_dtype)
        drop = partial(Dropout(spec.dropout), deterministic=deterministic)
        norm = partial(nn.LayerNorm, epsilon=EPSILON)
        # The residual stream sums 2L branches; the division keeps its variance from growing with the depth.
        scale_of_residual = spec.initial_scale / (2 * spec.layers) ** 0.5
        dense = partial(_dense, dtype=dtype)
        rows, positions, width = x_RTD.shape

        # One product gives queries, keys and values, as in GPT-2.
        qkv = dense(3 * width, spec.initial_scale, name="attention_in")(norm(name="norm_1")(x_RTD))
        q_RTHW, k_RTHW, v_RTHW = (
            part.reshape(rows, positions, spec.heads, -1) for part in jnp.split(qkv.astype(dtype), 3, axis=-1)
        )
        read_RTD = attend(q_RTHW, k_RTHW, v_RTHW, mask_RTT, drop).reshape(rows, positions, width)
        x_RTD = x_RTD + drop(dense(width, scale_of_residual, name="attention_out")(read_RTD))

        h_RTF = dense(spec.feed_forward_width, spec.initial_scale, name="feed_forward_in")(norm(name="norm_2")(x_RTD))
        h_RTF = nn.gelu(h_RTF, approximate=True)
        return x_RTD + drop(dense(width, scale_of_residual, name="feed_forward_out")(h_RTF))


class GPT2(nn.Module):
    """The model. Its number of parameters follows from `spec` and the vocabulary (table 9).

    Its language head is the word embedding. With `untied`, the head is a parameter of its own, `head` [V, D] (see
    `heads.untied`).
    """

    spec: GPT2Spec
    vocabulary: int
    untied: bool = False

    @nn.compact
    def __call__(self, batch: Batch, deterministic: bool = True, patch: Patch | None = None) -> jax.Array:
        """Next-token logits, float32 [R, T, V].

        If the collection `sites.HIDDEN` is mutable, the states of the input tokens (`batch.row_N`, `batch.column_N`)
        are sown into it, one [N, D] for each layer: `0` the word embedding without position, `i` the residual stream
        after block i, `final_norm` after the final norm. Without dropout, these are the states the paper reads (3.2).
        At the same sites, a `patch` puts other states in their place, at any token.
        """
        spec = self.spec
        at = partial(site, self, row_N=batch.row_N, column_N=batch.column_N, patch=patch)
        embed = partial(nn.Embed, features=spec.hidden_dim, embedding_init=nn.initializers.normal(spec.initial_scale))
        words = embed(self.vocabulary, name="word_embedding")
        # Sown before the position is added and before dropout: layer 0 holds the word alone.
        word_RTD = at("0", words(batch.tokens_RT))
        x_RTD = word_RTD + embed(spec.positions, name="position_embedding")(batch.position_RT)
        x_RTD = Dropout(spec.dropout)(x_RTD, deterministic)
        mask_RTT = attention_mask(batch)
        for index in range(spec.layers):
            x_RTD = at(str(index + 1), Block(spec, name=f"block_{index}")(x_RTD, mask_RTT, deterministic))
        x_RTD = at(FINAL_NORM, nn.LayerNorm(epsilon=EPSILON, name="final_norm")(x_RTD))
        if self.untied:
            shape = (self.vocabulary, spec.hidden_dim)
            return x_RTD @ self.param("head", nn.initializers.normal(spec.initial_scale), shape).T
        return words.attend(x_RTD)

    def at_inputs(self, batch: Batch, patch: Patch | None = None) -> jax.Array:
        """Next-token logits at the input tokens, float32 [N, V]; arbitrary in empty slots."""
        return self(batch, patch=patch)[batch.row_N, batch.column_N]


def initial_params(model: GPT2, key: jax.Array) -> dict:
    """GPT-2's initialisation: normal, residual projections scaled by 1 / sqrt(2 layers), biases 0."""
    # A batch of one token: parameters do not depend on the batch, Flax only needs one to trace the model.
    one = jnp.zeros((1, 1), jnp.int32)
    place = jnp.zeros((1,), jnp.int32)
    return model.init(key, Batch(*[one] * 5, *[place] * 4))["params"]


def parameter_count(params: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _dense(features: int, scale: float, *, dtype: jnp.dtype, name: str) -> nn.Dense:
    # Parameters stay float32. In bfloat16 only the operands of the product are cast; see `precision` for its gradient.
    return nn.Dense(
        features,
        kernel_init=nn.initializers.normal(scale),
        dot_general=bfloat16_dot_general if dtype == jnp.bfloat16 else jax.lax.dot_general,
        name=name,
    )
