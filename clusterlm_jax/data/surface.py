"""What an instruction looks like, without a model: the null baseline of clustering by surface."""

from __future__ import annotations

import numpy as np

from clusterlm_jax.records import Dataset


def bag_of_symbols(dataset: Dataset, index: np.ndarray) -> np.ndarray:
    """How often each instruction symbol occurs in the instances `index`: float32 [instance, instruction symbol]."""
    symbols = dataset.vocabulary.instruction_symbols
    tokens_NT = dataset.tokens_NT[index]
    first, last = dataset.vocabulary.instruction_token(0), dataset.vocabulary.instruction_token(symbols - 1)
    instance_M, place_M = np.nonzero((tokens_NT >= first) & (tokens_NT <= last))
    bag_NS = np.zeros((len(index), symbols), np.float32)
    np.add.at(bag_NS, (instance_M, tokens_NT[instance_M, place_M] - first), 1)
    return bag_NS
