"""The pre-training data: instructions and task identities, and never a mapping."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from clusterlm_jax.data.batching import TrainingBatches, reading_batches
from clusterlm_jax.data.pretraining import SHORTEST, instructions_alone, task_identification, with_task_identities
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import PADDING, Dataset, UserError, Vocabulary
from tests.conftest import SMALL_DATA


@pytest.fixture(scope="module")
def named(dataset) -> Dataset:
    return with_task_identities(dataset)


def instructions(dataset: Dataset) -> dict[int, tuple[int, ...]]:
    """The symbols of every instruction of a dataset with inputs and outputs, by its number."""
    return {
        int(number): tuple(tokens[: length - 2].tolist())
        for number, tokens, length in zip(
            dataset.labels["instruction"], dataset.tokens_NT, dataset.length_N, strict=True
        )
    }


def symbols(dataset: Dataset) -> list[list[int]]:
    return [tokens[:length].tolist() for tokens, length in zip(dataset.tokens_NT, dataset.length_N, strict=True)]


def test_a_vocabulary_names_every_token_once():
    """The trigger and the identities come after all other tokens, whose ids do not change."""
    plain, named = Vocabulary(5, 4), Vocabulary(5, 4, task_identities=3)
    assert plain.size == 11
    tokens = [PADDING, *named.instruction_token(np.arange(5)), *named.task_token(np.arange(4)), plain.size - 1]
    tokens += [named.trigger, *named.identity_token(np.arange(3))]
    assert tokens == list(range(named.size))
    assert plain.task_token(3) == named.task_token(3)


def test_the_instances_of_fine_tuning_are_unchanged(dataset, named):
    assert named.vocabulary.task_identities == SMALL_DATA.number_of_tasks
    for field in dataclasses.fields(dataset):  # one by one: since Python 3.13, == compares arrays, not their identity
        if field.name != "vocabulary":
            np.testing.assert_equal(getattr(named, field.name), getattr(dataset, field.name))


def test_every_instruction_once_with_the_identity_of_its_task(named):
    """Hard examples too: they have the identity of their own task, not of their original."""
    identified, vocabulary = task_identification(named), named.vocabulary
    labels, known = identified.labels, instructions(named)
    assert sorted(labels["instruction"]) == sorted(known)
    tasks = dict(zip(named.labels["instruction"].tolist(), named.labels["task"].tolist(), strict=True))
    for number, sequence in zip(labels["instruction"].tolist(), symbols(identified), strict=True):
        assert sequence == [*known[number], vocabulary.trigger, vocabulary.identity_token(tasks[number])]
    np.testing.assert_array_equal(labels["input"], vocabulary.trigger)
    np.testing.assert_array_equal(labels["output"] - vocabulary.identity_token(0), labels["task"])
    hard = labels["original"] >= 0
    assert hard.any() and (labels["task"][hard] != labels["original"][hard]).all()


def test_instructions_alone_are_whole_and_nothing_else(named):
    alone, known = instructions_alone(named), instructions(named)
    expected = {number: sequence for number, sequence in known.items() if len(sequence) >= SHORTEST}
    assert len(expected) < len(known), "the data has shorter ones, or nothing is tested here"
    got = dict(zip(alone.labels["instruction"].tolist(), map(tuple, symbols(alone)), strict=True))
    assert got == expected
    assert set(np.unique(alone.tokens_NT)) <= {PADDING, *named.vocabulary.instruction_token(np.arange(12)).tolist()}


@pytest.mark.parametrize("derive", [task_identification, instructions_alone])
def test_splits_hold_the_same_instructions(named, derive):
    """Instructions withheld from fine-tuning are withheld from pre-training, too."""
    derived = derive(named)
    for name, index in named.splits.items():
        numbers = {n for n in named.labels["instruction"][index] if n in set(derived.labels["instruction"])}
        mine = derived.labels["instruction"][derived.splits[name]]
        assert len(mine) == len(set(mine.tolist())) > 0
        assert set(mine) == numbers
    assert not set(derived.splits["training"]) & set(derived.splits["validation"])
    assert set(derived.splits["training_subset"]) <= set(derived.splits["training"])


@pytest.mark.parametrize("derive", [task_identification, instructions_alone])
def test_no_mapping_reaches_the_model(named, derive):
    """No task symbol is a token or a target, in the dataset or in a batch. Batches for fine-tuning do have them."""
    vocabulary = named.vocabulary
    mapped = set(vocabulary.task_token(np.arange(vocabulary.task_symbols)).tolist())

    def reach(dataset: Dataset) -> set[int]:
        batches = [TrainingBatches(dataset, 6, "instance", 2, seed=0).epoch(epoch) for epoch in (1, 2)]
        batches += [reading_batches(dataset, index, 4)[0] for index in dataset.splits.values()]
        return {int(t) for batch in batches for array in (batch.tokens_RT, batch.output_N) for t in np.unique(array)}

    derived = derive(named)
    assert not mapped & set(np.unique(derived.tokens_NT).tolist())
    assert not mapped & reach(derived)
    assert mapped & reach(named)


def test_instructions_that_are_all_too_short_are_refused():
    short = dataclasses.replace(
        SMALL_DATA, longest_instruction=SHORTEST - 1, constructs=("class",), instructions_per_distribution=3,
        validation_instructions_per_distribution=1, hard_tasks=0, max_characters=12, min_characters=12,
        max_distributions_per_task=1, max_metacharacters=2,
    )  # fmt: skip
    dataset = synthesise(short, 0)
    with pytest.raises(UserError, match=r"raise data\.shortest_instruction"):
        instructions_alone(dataset)
