"""Configurations: declared, typed, checked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax import config
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import EXPERIMENTS, Settings

CONFIGS = Path(__file__).parents[1] / "configs"


def grid_of(*axes: str, **sections: dict) -> dict[str, Settings]:
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


def test_every_key_can_be_set_and_comes_through():
    for experiment in EXPERIMENTS:
        keys, raw = config.every_key(experiment), config.default(experiment)
        assert all(key in raw.to_dict() or key.split(".")[1] in raw[key.split(".")[0]] for key in keys)
        assert len(keys) == len(set(keys))


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
        (
            "data",
            "validation_tasks",
            0,
            "data.validation_tasks is 0; the best epoch",
        ),
        ("model", "tied", 1, "model.tied is 1, a int; it must be a bool"),
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


def test_it_survives_json():
    built = config.build(config.default("emergence"))
    assert built.as_dict()["model"]["ffn_dim"] is None
    assert dataclasses.asdict(built) == built.as_dict()


@pytest.mark.parametrize("seeds", [(), (0, 0), (1, -1)])
def test_seeds_are_one_or_more_each_once(seeds):
    raw = config.default("emergence")
    raw.seeds = (2, 0)
    assert config.build(raw).seeds == (2, 0)
    raw.seeds = seeds
    with pytest.raises(UserError, match=r"config.seeds is .* one seed or more"):
        config.build(raw)


def test_a_grid_is_the_product_of_its_axes():
    points = grid_of("model.hidden_dim=32&train.epochs=500|256|768", "train.learning_rate=1e-4|3e-4")
    settings = [(p.model.hidden_dim, p.train.epochs, p.train.learning_rate) for p in points.values()]
    widths = [(32, 500), (256, 200), (768, 200)]
    assert settings == [(*width, rate) for width in widths for rate in (1e-4, 3e-4)]
    assert list(points)[:3] == [
        "hidden_dim=32,epochs=500,learning_rate=1e-4",
        "hidden_dim=32,epochs=500,learning_rate=3e-4",
        "hidden_dim=256,learning_rate=1e-4",
    ]


def test_a_point_changes_what_it_names_and_nothing_else():
    (point,) = grid_of("train.batch_unit=instruction", model={"layers": 3}).values()
    raw = config.default("emergence")
    raw.model.layers = 3
    alone = config.build(raw)
    assert point.train == dataclasses.replace(alone.train, batch_unit="instruction")
    assert dataclasses.replace(point, train=alone.train) == alone


def test_values_are_what_the_command_line_makes_of_them():
    points = grid_of("seeds=(0,)|(1, 2)", "train.batch_unit=instance|instruction", "model.ffn_dim=None|96")
    assert {point.seeds for point in points.values()} == {(0,), (1, 2)}
    assert {point.train.batch_unit for point in points.values()} == {"instance", "instruction"}
    assert {point.model.ffn_dim for point in points.values()} == {None, 96}


def test_points_have_names_that_are_directories():
    """Of any value a key may take: no separator, nothing to quote."""
    points = grid_of("eval.jobs=('raw', 'knn')|('raw',)", "seeds=(0,)|(0, 1)", "train.learning_rate=1e-4|0.001")
    assert len(points) == 8
    assert all(re.fullmatch(r"[\w=,.+-]+", name) for name in points)


def test_a_point_may_have_a_name_of_its_own():
    """Instead of its settings, and beside those of other axes; a colon in a value begins no name."""
    points = grid_of("wide: model.hidden_dim=768&train.epochs=9| model.hidden_dim=32", "train.learning_rate=1e-4|3e-4")
    assert list(points) == [
        "wide,learning_rate=1e-4",
        "wide,learning_rate=3e-4",
        "hidden_dim=32,learning_rate=1e-4",
        "hidden_dim=32,learning_rate=3e-4",
    ]
    assert [(p.model.hidden_dim, p.train.epochs) for p in points.values()] == [(768, 9), (768, 9), (32, 200), (32, 200)]
    raw = config.default("probing")
    raw.grid = ("checkpoint=a:b|c:d",)
    assert [point.checkpoint for point in config.points(raw).values()] == ["a:b", "c:d"]


def test_a_key_whose_last_part_another_has_is_named_in_full():
    names = [config._named(key, "1", {"epochs": 2, "layers": 1}) for key in ("train.epochs", "model.layers")]
    assert names == ["train.epochs=1", "layers=1"]


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        (["model.hiden_dim=32|64"], "sets model.hiden_dim, which is no key: did you mean model.hidden_dim"),
        (["stages=('data',)"], "sets stages, which all points share"),
        (["grid=1"], "sets grid, which all points share"),
        (["32|64"], "has '32'; allowed is KEY=VALUE"),
        ([""], "has ''; allowed is KEY=VALUE"),
        (["model.hidden_dim=32|"], "has ''; allowed is KEY=VALUE"),
        (["model.hidden_dim=|64"], "has 'model.hidden_dim='; allowed"),
        (["model.hidden_dim=32&500"], "has '500'; allowed"),
        (["model.hidden_dim=32&model.hidden_dim=64"], "each key once"),
        (["model.hidden_dim=32", "train.epochs=3&model.hidden_dim=64"], "model.hidden_dim is on 2 axes"),
        (["model.hidden_dim=32|64|32"], "has the point hidden_dim=32 twice"),
        (["a: train.epochs=3|a: train.epochs=4"], "has the point a twice"),
        (["a: train.epochs=3|b: 3"], "The point epochs=b_3 of config.grid: train.epochs is 'b: 3', a str"),
        (["train.learning_rate=1e-4|0.0001"], "has the point learning_rate=0.0001 twice"),
        (["model.hidden_dim=wide"], "The point hidden_dim=wide of config.grid: model.hidden_dim is 'wide', a str"),
        (["train.epochs=9", "model.heads=8|7"], "The point epochs=9,heads=7 of config.grid: model.heads is 7"),
        ([3], "it must hold one string for each axis"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_sentence(axes, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)) as refused:
        grid_of(*axes)
    assert "\n" not in str(refused.value)


def test_a_grid_may_get_more_points_but_no_other_axes():
    """What a grid's directory is claimed with; a change in what names a point would mix two grids in one directory."""

    def shared(*axes: str, epochs: int = 200) -> dict:
        raw = config.default("emergence")
        raw.grid, raw.train.epochs = axes, epochs
        return config.shared(raw)

    few = shared("model.hidden_dim=32&train.epochs=500|256")
    assert shared("model.hidden_dim=32&train.epochs=500|256|768") == few
    assert shared("model.layers=2|3") != few
    assert shared("model.hidden_dim=32&train.epochs=500|256", epochs=100) != few


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.parametrize("argument", ["", "quick"])
def test_every_configuration_is_one_or_a_grid_of_them(path, argument, monkeypatch, tmp_path):
    """From any directory: a configuration that builds upon another finds it beside itself."""
    monkeypatch.chdir(tmp_path)
    assert all(isinstance(point, Settings) for point in config.points(config.from_file(path, argument)).values())


def test_the_papers_widths_and_seeds():
    widths = config.points(config.from_file(CONFIGS / "widths.py"))
    assert [(p.model.hidden_dim, p.train.epochs) for p in widths.values()] == [
        (32, 500),
        (256, 200),
        (768, 200),
        (2048, 200),
    ]
    assert config.build(config.from_file(CONFIGS / "seeds.py")).seeds == (0, 1, 2)


def test_what_decides_is_a_plackett_burman_design():
    """Every factor is high in half of the runs, and any two meet in all four combinations equally often."""
    points = config.points(config.from_file(CONFIGS / "what_decides.py"))
    assert list(points) == [f"run_{number:02}" for number in range(1, 13)]
    high_RF = np.array(
        [
            [
                point.data.validation_distributions == 28,
                point.data.longest_instruction == 62,
                point.data.task_vocabulary_size == 24,
                point.model.dropout == 0.2,
                point.model.initial_scale == 0.07,
                point.model.tied,
                point.train.loss == "sequence",
                point.train.learning_rate == 2e-3,
                point.train.batch_size == 60,
            ]
            for point in points.values()
        ]
    )
    sign_RF = np.where(high_RF, 1, -1)
    np.testing.assert_array_equal(sign_RF.T @ sign_RF, 12 * np.eye(9))
    assert not sign_RF.sum(axis=0).any()


def test_pretraining_is_the_papers():
    built = config.build(config.from_file(CONFIGS / "pretraining.py"))
    assert (built.model.hidden_dim, built.seeds) == (256, (0, 1, 2))
    assert (built.eval.labels, built.eval.jobs) == (("task", "distribution"), ("raw", "tsne"))
    assert dataclasses.asdict(built.pretrain) == dataclasses.asdict(built.train)


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
