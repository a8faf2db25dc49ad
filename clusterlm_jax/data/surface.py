"""What an instruction looks like, without a model: the null baseline of clustering by surface."""

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
    instance_M, place_M = np.nonzero((tokens_NT >= first) & (tokens_NT <= last))
    bag_NS = np.zeros((len(index), symbols), np.float32)
    np.add.at(bag_NS, (instance_M, tokens_NT[instance_M, place_M] - first), 1)
    return bag_NS


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """How often each word, in small letters, occurs in each text: float32 [text, word]."""
    words_of = [re.findall(r"\w+", text.lower()) for text in texts]
    place = {word: index for index, word in enumerate(dict.fromkeys(itertools.chain(*words_of)))}
    bag_NW = np.zeros((len(texts), len(place)), np.float32)
    for row_W, words in zip(bag_NW, words_of, strict=True):
        np.add.at(row_W, [place[word] for word in words], 1)
    return bag_NW
