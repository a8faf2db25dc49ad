"""Counts of symbols and words in instructions."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from clusterlm_jax.data.pretraining import instructions_alone, task_identification, with_task_identities
from clusterlm_jax.data.surface import bag_of_symbols, bag_of_words, columns, still_matching


def test_a_bag_counts_only_the_symbols_of_the_instruction(dataset):
    """Counted one by one. Breaks when inputs, outputs or padding are counted, too."""
    index = dataset.splits["validation"]
    bag_NV = bag_of_symbols(dataset, index)
    assert bag_NV.dtype == np.float32
    assert bag_NV.shape == (len(index), dataset.vocabulary.instruction_symbols)
    for bag_S, instance in zip(bag_NV, index, strict=True):
        instruction = dataset.tokens_NT[instance, : dataset.length_N[instance] - 2]
        counted = collections.Counter(int(token) - 1 for token in instruction)
        assert {symbol: count for symbol, count in enumerate(bag_S) if count} == counted


def test_instances_of_one_instruction_have_one_bag(dataset):
    index = dataset.splits["training"]
    bag_NV, instruction_N = bag_of_symbols(dataset, index), dataset.labels["instruction"][index]
    for instruction in np.unique(instruction_N):
        assert len(np.unique(bag_NV[instruction_N == instruction], axis=0)) == 1


def test_which_hard_examples_still_match_is_a_column_and_stays_in_pre_training(dataset):
    """There the same instruction has a trigger after it, or nothing: its symbols are the same."""
    loose = dataclasses.replace(dataset, expressions=("[a-l]*", *dataset.expressions[1:-1], "[a-l]*"))
    hard_N, last = loose.labels["original"] >= 0, len(loose.expressions) - 1
    matching_N = still_matching(loose)
    assert matching_N[hard_N & (loose.labels["distribution"] == last)].all() and not matching_N[~hard_N].any()
    index = loose.splits["training_subset"]
    np.testing.assert_array_equal(columns(loose, index)["matching"], matching_N[index])
    known = dict(zip(loose.labels["instruction"].tolist(), matching_N.tolist(), strict=True))
    for derived in (task_identification(with_task_identities(loose)), instructions_alone(loose)):
        assert still_matching(derived).tolist() == [known[i] for i in derived.labels["instruction"].tolist()]


def test_a_bag_of_words_counts_each_word_without_regard_to_capitals():
    texts = ["Give the plural: dog", "the Dog, the dog", "chien"]
    bag_NV = bag_of_words(texts)
    assert bag_NV.dtype == np.float32
    # give, the, plural, dog, chien, in order of first appearance
    np.testing.assert_array_equal(bag_NV, [[1, 1, 1, 1, 0], [0, 2, 0, 2, 0], [0, 0, 0, 0, 1]])
