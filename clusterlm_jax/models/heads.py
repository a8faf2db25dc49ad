"""Language heads, and switches between them (paper F.1). Letters of a shape: the table in `records`.

A switch reads the state of the input token and decides whether the instance belongs to a source task. If it does, the
new head answers, else the head the model had.
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

HEAD = "head"  # the path of the untied head among the parameters

Decide = Callable[[Any, jax.Array], jax.Array]  # (parameters of a switch, states [N, D]) -> switched on, bool [N]


class Switch(nn.Module):
    """A logit for each state, [N, D] -> [N]: `hidden_layers` hidden layers of width D, then a linear one."""

    hidden_layers: int

    @nn.compact
    def __call__(self, state_ND: jax.Array) -> jax.Array:
        x_ND = state_ND
        for index in range(self.hidden_layers):
            x_ND = nn.relu(nn.Dense(state_ND.shape[-1], name=f"hidden_{index}")(x_ND))
        return nn.Dense(1, name="logit")(x_ND)[:, 0]

    def decide(self, params: Any, state_ND: jax.Array) -> jax.Array:
        """Whether the instance more likely belongs to a source task, bool [N]."""
        return self.apply({"params": params}, state_ND) > 0


class Centroids(NamedTuple):
    """A switch without training: centroids, each with a flag whether it stands for a source task."""

    centroid_KD: jax.Array
    on_K: jax.Array

    @staticmethod
    def decide(centroids: Centroids, state_ND: jax.Array) -> jax.Array:
        """Whether the nearest centroid stands for a source task, bool [N]."""
        distance_NK = jnp.square(state_ND[:, None] - centroids.centroid_KD[None]).sum(-1)
        return centroids.on_K[distance_NK.argmin(-1)]


def never(_: Any, state_ND: jax.Array) -> jax.Array:
    """The decision of a model without a switch: the old head always answers."""
    return jnp.zeros(len(state_ND), bool)


class Answer(NamedTuple):
    """The answers of a model to N instances. The slots of absent instances hold arbitrary values."""

    token_N: jax.Array
    on_N: jax.Array  # whether the new head gave it


def untied(params: dict) -> dict:
    """The parameters of a tied model -> those of an untied one, whose head is a copy of the word embedding."""
    return {**params, HEAD: params["word_embedding"]["embedding"]}


def answer(
    model: GPT2, decide: Decide, params: dict, new_head_VD: jax.Array, switch: Any, layer: jax.Array, batch: Batch
) -> Answer:
    """The most likely output of every instance of a batch, by the old head or the new one.

    The states of one pass, at the input tokens, go to the switch and to both heads. The pass also defines the logits of
    all tokens, but nothing uses them, so the compiler leaves them out.

    Args:
      params: the parameters of an untied model.
      switch: the parameters of the switch, for `decide`.
      layer: the layer whose states the switch reads, as an index into `records.layer_names`.
    """
    # Full float32 on every device: the switch was trained on states that were read so (`training.steps.read_step`).
    with jax.default_matmul_precision("highest"):
        _, hidden = model.apply({"params": params}, batch, mutable=[HIDDEN])
        hidden_LND = stacked(hidden[HIDDEN], model.spec.layers)
        state_ND, on_N = hidden_LND[-1], decide(switch, hidden_LND[layer])
        logits_NV = jnp.where(on_N[:, None], state_ND @ new_head_VD.T, state_ND @ params[HEAD].T)
        return Answer(logits_NV.argmax(-1), on_N)
