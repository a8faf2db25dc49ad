"""How alike instructions look without any model: counts of symbols or words, and hard examples that look unaltered.

Clusterings of the counts are a null baseline for clusterings of hidden states.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.data.spec import SYMBOLS
from clusterlm_jax.records import PADDING, Dataset


def bag_of_symbols(dataset: Dataset, index: np.ndarray) -> np.ndarray:
    """How often each instruction symbol occurs in the instances `index`: float32 [instance, instruction symbol]."""
    symbols = dataset.vocabulary.instruction_symbols
    tokens_NT = dataset.tokens_NT[index]
    first, last = dataset.vocabulary.instruction_token(0), dataset.vocabulary.instruction_token(symbols - 1)
    instance, place = np.nonzero((tokens_NT >= first) & (tokens_NT <= last))
    bag_NV = np.zeros((len(index), symbols), np.float32)
    np.add.at(bag_NV, (instance, tokens_NT[instance, place] - first), 1)
    return bag_NV


def still_matching(dataset: Dataset) -> np.ndarray:
    """Which hard examples match the expression of the instructions they were made from: bool [instance].

    By its data such an example could as well be one of its original's task.
    """
    last = dataset.vocabulary.instruction_token(dataset.vocabulary.instruction_symbols - 1)
    matching_N = np.zeros(len(dataset), bool)
    for instance in np.flatnonzero(dataset.labels["original"] >= 0):
        tokens_T = dataset.tokens_NT[instance]
        text = "".join(SYMBOLS[token - 1] for token in tokens_T[(tokens_T != PADDING) & (tokens_T <= last)])
        expression = dataset.expressions[dataset.labels["distribution"][instance]]
        matching_N[instance] = re.fullmatch(expression, text) is not None
    return matching_N


def columns(dataset: Dataset, index: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of the instances `index` that states are scored by: with `matching`, what `still_matching` says."""
    return dataset.columns(index) | {"matching": still_matching(dataset)[index].astype(np.int32)}


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """How often each word, in lower case, occurs in each text: float32 [text, word]."""
    words_of = [re.findall(r"\w+", text.lower()) for text in texts]
    place = {word: index for index, word in enumerate(dict.fromkeys(itertools.chain(*words_of)))}
    bag_NV = np.zeros((len(texts), len(place)), np.float32)
    for row_V, words in zip(bag_NV, words_of, strict=True):
        np.add.at(row_V, [place[word] for word in words], 1)
    return bag_NV
