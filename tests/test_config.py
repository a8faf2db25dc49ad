"""Configurations: declared, typed, checked."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from clusterlm_jax import config, experiments
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import flatten

# A valid value that is not the default, where `another` finds none; with the keys that have to change with it.
DISTRIBUTIONS = {
    "data.number_of_distributions": 156,
    "data.validation_distributions": 21,
    "data.hard_distributions": 6,
}
OTHERS = {
    **dict.fromkeys(DISTRIBUTIONS, DISTRIBUTIONS),
    "data.source_target_pairs": {"data.source_target_pairs": 1, "data.hard_tasks": 0},
    "data.shared_mappings": {"data.shared_mappings": 3},
    "data.longest_instruction": {"data.longest_instruction": 30},
    "model.heads": {"model.heads": 4},
    "model.hidden_dim": {"model.hidden_dim": 64},
    "model.ffn_dim": {"model.ffn_dim": 96},
    "seeds": {"seeds": (3,)},
    "report.scatter_epochs": {"report.scatter_epochs": (0, 5)},
}
WORDS = {
    "data.subset_composition": "all_available",
    "model.compute_dtype": "bfloat16",
    "extract.compute_dtype": "float32",
    "report.scatter_layer": "2",
    "report.formats": ("png", "svg"),
    "switch.layer": "2",
    **{f"{section}.batch_unit": "instruction" for section in ("train", "pretrain", "finetune")},
    **{f"{section}.loss": "output" for section in ("train", "finetune")},
    **{f"{section}.seed_axis": "map" for section in ("train", "pretrain", "finetune")},
}
ONE_VALUE = {
    "alignment": {"data.hard_tasks", "data.shared_mappings", "model.tied", *DISTRIBUTIONS},
    "pretraining": {"pretrain.loss"},
}


def another(key: str, default: Any) -> Any:
    """A value that is not the default: the other bool, the next number, half a fraction, a shorter tuple, a word."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return WORDS.get(key, "any/path")
    if isinstance(default, tuple):
        return WORDS.get(key) or default[:-1] or ("any",)
    return default + 1 if isinstance(default, int) else default / 2


@pytest.mark.parametrize(("name", "key"), [("states", "states"), ("probing", "checkpoint"), ("causal", "run")])
def test_a_url_is_no_path(name, key):
    settings = experiments.part(name, "settings").SETTINGS
    with pytest.raises(UserError, match=f"config.{key} is 's3://bucket/x'; it must be on a disk of this machine"):
        settings(**{key: "s3://bucket/x"})
    assert getattr(settings(**{key: "bucket/x"}), key) == "bucket/x"


def grid_of(*axes: Any, **sections: dict) -> dict[str, Settings]:
    """The points of a grid over the default configuration."""
    raw = config.default("emergence")
    raw.grid = axes
    for section, values in sections.items():
        raw[section].update(values)
    return config.points(raw)


def test_the_default_is_the_papers_main_experiment():
    built = config.build(config.default("emergence"))
    assert (built.model.layers, built.model.heads, built.model.hidden_dim) == (6, 8, 768)
    assert built.model.feed_forward_width == 1024
    assert (built.train.epochs, built.train.learning_rate, built.model.dropout) == (200, 1e-4, 0.2)
    assert (built.data.number_of_tasks, built.data.mappings_per_task) == (50, 5)
    assert (built.eval.tsne_perplexity, built.eval.tsne_iterations, built.eval.neighbours) == (10, 2000, 10)


@pytest.mark.parametrize("experiment", experiments.names())
def test_a_key_that_is_set_comes_through_and_no_other_changes(experiment):
    default = flatten(config.build(config.default(experiment)).as_dict())
    one_value = {"grid", "experiment", "eval.backend"} | ONE_VALUE.get(experiment, set())
    for key in set(config.every_key(experiment)) - one_value:
        changes = OTHERS.get(key) or {key: another(key, default[key])}
        raw = config.default(experiment)
        raw.update_from_flattened_dict(changes)
        built = flatten(config.build(raw).as_dict())
        assert built == default | changes
        assert built[key] != default[key], key


def test_an_unset_width_takes_a_number_and_nothing_else():
    raw = config.default("emergence")
    raw.model.ffn_dim = 96
    assert config.build(raw).model.feed_forward_width == 96
    with pytest.raises(TypeError):
        raw.model.ffn_dim = "wide"


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("model", "layers", "six", "model.layers is 'six'; it must be a whole number."),
        ("train", "epochs", True, "train.epochs is True; it must be a whole number."),
        ("eval", "keep_hidden", 1, "eval.keep_hidden is 1; it must be True or False."),
        ("eval", "labels", ("task", 3), "with the item 3; it must be a tuple of texts."),
        ("eval", "labels", 3, "eval.labels is 3; it must be a tuple of texts."),
        ("model", "ffn_dim", 1.5, "model.ffn_dim is 1.5; it must be a whole number or unset."),
        ("model", "dropout", "much", "model.dropout is 'much'; it must be a number."),
        (
            "data",
            "validation_tasks",
            0,
            "data.validation_tasks is 0; the best epoch",
        ),
        ("model", "tied", 1, "model.tied is 1; it must be True or False."),
        ("train", "loss", "input", "train.loss is 'input'; allowed: sequence, output"),
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


@pytest.mark.parametrize("seeds", [(), (0, 0), (1, -1)])
def test_seeds_are_one_or_more_each_once(seeds):
    raw = config.default("emergence")
    raw.seeds = (2, 0)
    assert config.build(raw).seeds == (2, 0)
    raw.seeds = seeds
    with pytest.raises(UserError, match=r"config.seeds is .* one seed or more"):
        config.build(raw)


WIDTHS = [{"model.hidden_dim": 32, "train.epochs": 500}, {"model.hidden_dim": 256}]
RATES = {"train.learning_rate": [1e-4, 3e-4]}


def test_a_grid_is_the_product_of_its_axes():
    points = grid_of(WIDTHS, RATES)
    settings = [(p.model.hidden_dim, p.train.epochs, p.train.learning_rate) for p in points.values()]
    assert settings == [(*width, rate) for width in [(32, 500), (256, 200)] for rate in (1e-4, 3e-4)]
    assert list(points) == [
        "hidden_dim=32,epochs=500,learning_rate=0.0001",
        "hidden_dim=32,epochs=500,learning_rate=0.0003",
        "hidden_dim=256,learning_rate=0.0001",
        "hidden_dim=256,learning_rate=0.0003",
    ]


def test_a_point_changes_what_it_sets_and_nothing_else():
    (point,) = grid_of({"train.batch_unit": ["instruction"]}, model={"layers": 3}).values()
    raw = config.default("emergence")
    raw.model.layers = 3
    alone = config.build(raw)
    assert point.train == dataclasses.replace(alone.train, batch_unit="instruction")
    assert dataclasses.replace(point, train=alone.train) == alone


def test_points_have_names_that_are_directories():
    """For values of any type: no separator, nothing that a shell would need in quotes."""
    points = grid_of({"eval.jobs": [("raw", "knn"), ("raw",)]}, {"seeds": [(0,), (0, 1)]}, {"model.ffn_dim": [None, 9]})
    assert len(points) == 8
    assert all(re.fullmatch(r"[\w=,.+-]+", name) for name in points)
    assert next(iter(points)) == "jobs=raw_knn,seeds=0,ffn_dim=None"


def test_a_point_may_have_a_name_of_its_own():
    """It replaces what the point sets, and stands together with the names of the other axes."""
    points = grid_of([{"name": "wide", "model.hidden_dim": 768, "train.epochs": 9}, {"model.hidden_dim": 32}], RATES)
    assert list(points) == [
        "wide,learning_rate=0.0001",
        "wide,learning_rate=0.0003",
        "hidden_dim=32,learning_rate=0.0001",
        "hidden_dim=32,learning_rate=0.0003",
    ]
    assert [(p.model.hidden_dim, p.train.epochs) for p in points.values()] == [(768, 9), (768, 9), (32, 200), (32, 200)]


def test_a_key_whose_last_part_another_has_is_named_in_full():
    raw = config.default("pretraining")
    raw.grid = [{"train.epochs": 2, "pretrain.epochs": 3, "model.layers": 1}], {"eval.every": [1]}
    assert list(config.points(raw)) == ["train.epochs=2,pretrain.epochs=3,layers=1,every=1"]


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ([{"model.hiden_dim": [32]}], "sets model.hiden_dim, which is no key: did you mean model.hidden_dim"),
        ([{"model": [{"layers": 2}]}], "sets model, which is no key"),
        ([{"stages": [("data",)]}], "sets stages, which all points share"),
        ([[{"train.epochs": 3, "grid": ()}]], "sets grid, which all points share"),
        (["model.hidden_dim"], "has the axis 'model.hidden_dim'; allowed: [{KEY: VALUE, ...}, ...], or {KEY: [VALUE"),
        ([3], "has the axis 3; allowed"),
        ([[]], "has the axis []; allowed"),
        ([[{"name": "a"}]], "has the axis [{'name': 'a'}]; allowed"),
        ([{"model.hidden_dim": 32}], "has the axis {'model.hidden_dim': 32}; allowed"),
        ([{"model.hidden_dim": [8], "model.heads": [8]}], "has the axis {"),
        ([{"model.hidden_dim": [32]}, WIDTHS], "model.hidden_dim is on 2 axes"),
        ([{"model.hidden_dim": [32, 64, 32]}], "has the point hidden_dim=32 twice"),
        ([[{"name": "a", "train.epochs": 3}, {"name": "a", "train.epochs": 4}]], "has the point a twice"),
        ([[{"name": "a", "train.epochs": 3}, {"name": "b", "train.epochs": 3}]], "has the point b twice"),
        ([[{"name": "../a", "train.epochs": 3}]], "names a point '../a'; a name is of letters"),
        ([{"model.layers": ["six"]}], "The point layers=six of config.grid: model.layers is 'six'; it must be"),
        ([{"train.epochs": [9]}, {"model.heads": [7]}], "The point epochs=9,heads=7 of config.grid: model.heads is 7"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_sentence(axes, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)) as refused:
        grid_of(*axes)
    assert "\n" not in str(refused.value)


def test_a_grid_may_get_more_points_but_no_other_axes():
    """`config.json` of a grid. Another axis gives other names, so two grids would mix in one directory."""

    def shared(*axes: Any, epochs: int = 200) -> dict:
        raw = config.default("emergence")
        raw.grid, raw.train.epochs = axes, epochs
        return config.shared(raw)

    few = shared(WIDTHS)
    assert few["grid"] == ["model.hidden_dim"]
    assert shared([*WIDTHS, {"model.hidden_dim": 768}]) == few
    assert shared({"model.layers": [2, 3]}) != few
    assert shared(WIDTHS, epochs=100) != few


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("pretrain", "epochs", 0, "pretrain.epochs is 0; it must be at least 1"),
        ("pretrain", "batch_size", 3001, "pretrain.batch_size is 3001, but there are at most 3000 instances"),
        ("pretrain", "loss", "output", "have no output token, so allowed: sequence"),
        ("eval", "every", 201, "eval.every is 201, above pretrain.epochs = 200"),
        ("eval", "jobs", ("raw", "knn"), "read at the trigger, before any mapping is seen, so allowed: raw, tsne"),
        ("eval", "labels", ("task", "mapping"), "so allowed: task, distribution"),
    ],
)
def test_pretraining_names_its_own_sections(section, key, value, sentence):
    raw = config.default("pretraining").to_dict()
    raw[section][key] = value
    with pytest.raises(UserError, match=re.escape(sentence)):
        config.build(config.config_dict.ConfigDict(raw))


def test_alignment_refuses_an_untied_model():
    raw = config.default("alignment")
    raw.model.tied = False
    with pytest.raises(UserError, match=r"model\.tied is False; alignment gives"):
        config.build(raw)
