"""Configurations: declared, typed, checked."""

from __future__ import annotations

import dataclasses

import pytest

from clusterlm_jax import config
from clusterlm_jax.records import UserError


def test_the_default_is_the_papers_main_experiment():
    built = config.build(config.default("emergence"))
    assert (built.model.layers, built.model.heads, built.model.hidden_dim) == (6, 8, 768)
    assert built.model.feed_forward_width == 1024
    assert (built.train.epochs, built.train.learning_rate, built.model.dropout) == (200, 1e-4, 0.2)
    assert (built.data.number_of_tasks, built.data.mappings_per_task) == (50, 5)
    assert (built.eval.tsne_perplexity, built.eval.tsne_iterations, built.eval.neighbours) == (10, 2000, 10)


def test_every_key_can_be_set_and_comes_through():
    for key in config.every_key():
        raw = config.default("emergence")
        assert key in raw.to_dict() or key.split(".")[1] in raw[key.split(".")[0]]
    assert len(config.every_key()) == len(set(config.every_key()))


def test_an_unset_width_takes_a_number_and_nothing_else():
    raw = config.default("emergence")
    raw.model.ffn_dim = 96
    assert config.build(raw).model.feed_forward_width == 96
    with pytest.raises(TypeError):
        raw.model.ffn_dim = "wide"


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("model", "layers", "six", "model.layers is 'six', a str; it must be a int"),
        ("train", "epochs", True, "train.epochs is True, a bool; it must be a int"),
        ("eval", "keep_hidden", 1, "eval.keep_hidden is 1, a int; it must be a bool"),
        ("eval", "labels", ("task", 3), "eval.labels is"),
        ("model", "hiden_dim", 3, "no model.hiden_dim: did you mean hidden_dim?"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(section, key, value, sentence):
    raw = config.default("emergence")
    raw = raw.to_dict()
    raw[section][key] = value
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        config.build(config.config_dict.ConfigDict(raw))


def test_whole_numbers_pass_for_floats_and_lists_for_tuples():
    raw = config.default("emergence").to_dict()
    raw["train"]["learning_rate"] = 1
    raw["eval"]["labels"] = ["task"]
    built = config.build(config.config_dict.ConfigDict(raw))
    assert built.train.learning_rate == 1.0
    assert built.eval.labels == ("task",)


def test_it_survives_json():
    built = config.build(config.default("emergence"))
    assert built.as_dict()["model"]["ffn_dim"] is None
    assert dataclasses.asdict(built) == built.as_dict()
