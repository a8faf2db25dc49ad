"""Language heads, and switches between them (paper F.1). Letters of a shape as in `gpt2`, and C centroid.

A switch reads the state of the input token and tells whether the instance belongs to a source task; if so, the new head
answers, else the head the model had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.sites import HIDDEN, stacked
from clusterlm_jax.records import Batch

HEAD = "head"
"""The path of the untied head among the parameters."""

Decide = Callable[[Any, jax.Array], jax.Array]
"""(parameters of a switch, states [N, D]) -> whether each is switched on, bool [N]."""


class Switch(nn.Module):
    """A logit for each state, [N, D] -> [N]: one linear layer, after so many hidden ones of the same width D."""

    hidden_layers: int

    @nn.compact
    def __call__(self, state_ND: jax.Array) -> jax.Array:
        x_ND = state_ND
        for index in range(self.hidden_layers):
            x_ND = nn.relu(nn.Dense(state_ND.shape[-1], name=f"hidden_{index}")(x_ND))
        return nn.Dense(1, name="logit")(x_ND)[:, 0]

    def decide(self, params: Any, state_ND: jax.Array) -> jax.Array:
        """Whether a source task is the likelier one."""
        return self.apply({"params": params}, state_ND) > 0


class Centroids(NamedTuple):
    """A switch that nobody trains: each centroid with whether it stands for a source task."""

    centroid_CD: jax.Array
    on_C: jax.Array

    @staticmethod
    def decide(centroids: Centroids, state_ND: jax.Array) -> jax.Array:
        """Whether the nearest centroid stands for a source task."""
        distance_NC = jnp.square(state_ND[:, None] - centroids.centroid_CD[None]).sum(-1)
        return centroids.on_C[distance_NC.argmin(-1)]


def never(_: Any, state_ND: jax.Array) -> jax.Array:
    """The decision of a model without a switch."""
    return jnp.zeros(len(state_ND), bool)


class Answer(NamedTuple):
    """What a model says to N instances; slots of absent instances hold whatever is there."""

    token_N: jax.Array
    on_N: jax.Array  # whether the new head said it


def untied(params: dict) -> dict:
    """The parameters of a model whose head is its word embedding -> those of one with a copy of it as its head."""
    return {**params, HEAD: params["word_embedding"]["embedding"]}


def answer(
    model: GPT2, decide: Decide, params: dict, new_head_VD: jax.Array, switch: Any, layer: jax.Array, batch: Batch
) -> Answer:
    """The most likely output of every instance of a batch, by the old head or the new one.

    One pass through the model, whose states at the input tokens go to the switch and to both heads; the logits of other
    tokens are asked for by nobody, so that a compiler leaves them out.

    Args:
      params: of an untied model.
      switch: parameters of the switch, for `decide`.
      layer: which states the switch reads, an index into `records.layer_names`.
    """
    with jax.default_matmul_precision("highest"):
        _, hidden = model.apply({"params": params}, batch, mutable=[HIDDEN])
        hidden_LND = stacked(hidden[HIDDEN], model.spec.layers)
        state_ND, on_N = hidden_LND[-1], decide(switch, hidden_LND[layer])
        logits_NV = jnp.where(on_N[:, None], state_ND @ new_head_VD.T, state_ND @ params[HEAD].T)
        return Answer(logits_NV.argmax(-1), on_N)
