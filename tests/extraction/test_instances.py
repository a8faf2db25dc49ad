"""Prompts with their answers as instances: the tokens, what is held out, and a tokenizer that joins what was apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from clusterlm_jax.data.natural.shared import SharedSpec, compose
from clusterlm_jax.extraction.instances import GROUPS, instances_of
from clusterlm_jax.records import Prompts, UserError

SPEC = SharedSpec(wordings_per_task=6, held_out=2, inputs=20)


class Words:
    """A tokenizer of words; the beginning of a sequence is 0."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> list[np.ndarray]:
        return [np.array([0, *(self.known.setdefault(w, len(self.known) + 1) for w in text.split())]) for text in texts]


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return compose(SPEC, 0)


@pytest.mark.parametrize("ending", ["", " ->"])
def test_an_instance_is_the_prompt_its_ending_and_the_first_token_of_the_answer(prompts, ending):
    words = Words()
    instances = instances_of(prompts, words, dataclasses.replace(SPEC, ending=ending), 0)
    names = {number: word for word, number in words.known.items()}
    for number in (0, 100, len(prompts) - 1):
        tokens = instances.tokens_NT[number, : instances.length_N[number]]
        answer = prompts.names["output"][prompts.labels["output"][number]]
        assert " ".join(names[token] for token in tokens[1:]) == f"{prompts.texts[number]}{ending} {answer}"
        assert instances.labels["output"][number] == tokens[-1]
    alike = instances.labels["instruction"] == instances.labels["instruction"][0]
    assert alike.sum() == (1 if ending else (prompts.labels["instruction"] == prompts.labels["instruction"][0]).sum())


def test_two_wordings_of_each_task_are_held_out(prompts):
    instances = instances_of(prompts, Words(), SPEC, 0)
    wordings = {split: set(prompts.labels["instruction"][index]) for split, index in instances.splits.items()}
    assert not wordings["training"] & wordings["validation"]
    assert len(wordings["validation"]) == 2 * len(prompts.names["distribution"])
    group_N = instances.labels["distribution"]
    np.testing.assert_array_equal(group_N // GROUPS, instances.labels["task"])
    assert set(group_N[instances.splits["validation"]]) <= set(group_N[instances.splits["training"]])


def test_an_answer_that_melts_into_the_prompt_is_refused(prompts):
    def by_length(texts):
        return [np.full(2, len(text)) for text in texts]

    with pytest.raises(UserError, match=r"tokens of '.*' change when an answer follows; data.ending must be"):
        instances_of(prompts, by_length, SPEC, 0)
