"""Counts of symbols or words: how alike instructions look without any model.

Clusterings of these counts are a null baseline for clusterings of hidden states.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.records import Dataset


def bag_of_symbols(dataset: Dataset, index: np.ndarray) -> np.ndarray:
    """How often each instruction symbol occurs in the instances `index`: float32 [instance, instruction symbol]."""
    symbols = dataset.vocabulary.instruction_symbols
    tokens_NT = dataset.tokens_NT[index]
    first, last = dataset.vocabulary.instruction_token(0), dataset.vocabulary.instruction_token(symbols - 1)
    instance, place = np.nonzero((tokens_NT >= first) & (tokens_NT <= last))
    bag_NV = np.zeros((len(index), symbols), np.float32)
    np.add.at(bag_NV, (instance, tokens_NT[instance, place] - first), 1)
    return bag_NV


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """How often each word, in lower case, occurs in each text: float32 [text, word]."""
    words_of = [re.findall(r"\w+", text.lower()) for text in texts]
    place = {word: index for index, word in enumerate(dict.fromkeys(itertools.chain(*words_of)))}
    bag_NV = np.zeros((len(texts), len(place)), np.float32)
    for row_V, words in zip(bag_NV, words_of, strict=True):
        np.add.at(row_V, [place[word] for word in words], 1)
    return bag_NV
