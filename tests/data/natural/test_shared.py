"""Words that several tasks take: what is composed of ours and of Hendel et al.'s, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from clusterlm_jax.data.natural.hendel import is_word
from clusterlm_jax.data.natural.prompts import FILE_OF, TASKS
from clusterlm_jax.data.natural.shared import OURS, SharedSpec, compose
from clusterlm_jax.records import UserError

SMALL = SharedSpec(wordings_per_task=3, held_out=1)


def test_our_words_are_words_and_each_task_has_seven():
    ours = json.loads(OURS.read_text())
    assert all(is_word(word) for x, of_task in ours.items() for word in (x, *of_task.values()))
    assert all(len(set(of_task.values())) > 1 and of_task.keys() <= FILE_OF.keys() for of_task in ours.values())
    assert min(sum(stem in of_task for of_task in ours.values()) for stem in TASKS) == 7


def test_every_wording_meets_every_word_of_its_task_and_every_word_meets_several_tasks():
    prompts = compose(SMALL, 0)
    labels = prompts.labels
    assert len(prompts.names["instruction"]) == 3 * len(TASKS)
    assert len(prompts) == 3 * len({*zip(labels["distribution"].tolist(), labels["input"].tolist(), strict=True)})
    for x in range(len(prompts.names["input"])):
        assert len(np.unique(labels["distribution"][labels["input"] == x])) > 1
    assert prompts.texts[0].endswith(" " + prompts.names["input"][0])


def test_the_seed_draws_words_and_wordings():
    few = dataclasses.replace(SMALL, inputs=9)
    drawn = [compose(few, seed) for seed in (0, 0, 1)]
    assert drawn[0].texts == drawn[1].texts != drawn[2].texts
    assert len(drawn[0].names["input"]) == 9


def test_hendels_files_are_searched_for_words_in_common(tmp_path):
    pairs = {stem: {} for stem in TASKS}
    pairs["en_fr"], pairs["en_es"] = {"dog": "chien", "red": "rouge", "no": "non"}, {"dog": "perro", "cat": "gato"}
    pairs["en_it"] = {"red": "rosso", "no": "non"}
    for stem, file in FILE_OF.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(json.dumps(pairs[stem]))
    prompts = compose(dataclasses.replace(SMALL, mappings_dir=str(tmp_path)), 0)
    assert set(prompts.names["input"]) == {"dog", "red"}, "and not those on which the tasks agree"
    pairs["en_es"].pop("dog"), pairs["en_it"].pop("red")
    for stem, file in FILE_OF.items():
        (tmp_path / file).write_text(json.dumps(pairs[stem]))
    with pytest.raises(UserError, match=r"No two tasks in .* have an input in common"):
        compose(dataclasses.replace(SMALL, mappings_dir=str(tmp_path)), 0)


def test_too_few_wordings_are_refused():
    with pytest.raises(UserError, match=r"wordings_per_task is 56, but .* has only 55"):
        compose(SharedSpec(wordings_per_task=56), 0)


def test_some_wordings_must_be_left_to_find_directions_in():
    with pytest.raises(UserError, match=r"data.held_out is 3; it must be at most 2"):
        SharedSpec(wordings_per_task=3, held_out=3)
