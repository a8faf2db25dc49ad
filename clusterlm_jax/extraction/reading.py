"""Reads the hidden states of the prompts' last tokens at every layer, one shard at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import NamedSharding

from clusterlm_jax.extraction.batches import PromptBatch
from clusterlm_jax.models import placement
from clusterlm_jax.models.pretrained.architectures import read_states
from clusterlm_jax.records import HiddenStates, layer_names, subset

T = TypeVar("T")


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
    place = jax.tree.leaves(params)[0].sharding
    # The states are on every device, so each of several processes has them.
    whole = placement.whole(place.mesh) if isinstance(place, NamedSharding) else None
    read = jax.jit(partial(read_states, model), out_shardings=whole)
    layers = layer_names(model.spec.layers)
    dispatched = ((batches, [read(params, batch.tokens_BT, batch.last_B) for batch in batches]) for batches in shards)
    for batches, states in one_behind(dispatched):
        parts = [
            np.asarray(hidden_LBD)[:, : len(batch.instance_N)]
            for batch, hidden_LBD in zip(batches, states, strict=True)
        ]
        index = np.concatenate([batch.instance_N for batch in batches])
        yield HiddenStates(np.concatenate(parts, axis=1), layers, subset(columns, index), run, seed, 0, 0, split)


def one_behind(dispatched: Iterable[T]) -> Iterator[T]:
    """Every item, once the next one is dispatched.

    jax computes asynchronously: the device works on the next item while the caller fetches and writes this one.
    """
    for item, _ in itertools.pairwise(itertools.chain(dispatched, [None])):
        yield item
