"""Reads the hidden states of the prompts' last tokens at every layer, one shard at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import flax.linen as nn
import jax
import numpy as np

from clusterlm_jax.extraction.batches import PromptBatch
from clusterlm_jax.models.pretrained.architectures import read_states
from clusterlm_jax.records import HiddenStates, layer_names, subset


def read_shards(
    model: nn.Module,
    params: Mapping,
    shards: Sequence[Sequence[PromptBatch]],
    columns: Mapping[str, np.ndarray],
    run: str,
    seed: int,
    split: str,
) -> Iterator[HiddenStates]:
    """Yields the states of one shard after the other; only the states of the last tokens leave the device.

    Args:
      params: the parameters, placed on the devices.
      columns: labels of all prompts, int32 [instance] by name.
      run, seed, split: names for the states; their epoch is 0.
    """
    read = jax.jit(partial(read_states, model))
    layers = layer_names(model.spec.layers)
    # jax computes asynchronously. A shard is dispatched before the previous one is fetched, so the device works on it
    # while the caller writes the previous one.
    waiting: list[tuple[Sequence[PromptBatch], list[jax.Array]]] = []

    def fetched() -> HiddenStates:
        batches, states = waiting.pop(0)
        parts = [
            np.asarray(hidden_LBD)[:, : len(batch.instance_N)]
            for batch, hidden_LBD in zip(batches, states, strict=True)
        ]
        index = np.concatenate([batch.instance_N for batch in batches])
        return HiddenStates(np.concatenate(parts, axis=1), layers, subset(columns, index), run, seed, 0, 0, split)

    for batches in shards:
        waiting.append((batches, [read(params, batch.tokens_BT, batch.last_B) for batch in batches]))
        if len(waiting) > 1:
            yield fetched()
    while waiting:
        yield fetched()
