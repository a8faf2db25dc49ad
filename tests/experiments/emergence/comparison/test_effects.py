"""Main effects: those that were put in come out, with the error that the unused columns show."""

from __future__ import annotations

import csv
import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clusterlm_jax.experiments.emergence.comparison import effects
from clusterlm_jax.experiments.emergence.comparison import page as comparison
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.comparison import Point, read_points
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import write_metrics, write_rows

DESIGN = runpy.run_path(str(Path(__file__).parents[4] / "configs" / "what_decides.py"))
SIGNS = {
    f"run_{number:02}": [1 if level == "+" else -1 for level in row]
    for number, row in enumerate(
        [DESIGN["FIRST_RUN"][shift:] + DESIGN["FIRST_RUN"][:shift] for shift in range(11)] + ["-" * 11], start=1
    )
}
EPOCHS = 4
EFFECTS = {"accuracy": [0.2, 0, 0, -0.1, 0, 0, 0, 0.05, 0], "across": [0, 0.02, 0.3, 0, 0, -0.1, 0, 0, 0.04]}
SCORES = [("task", "f1", "none"), ("task", "f1", "tsne"), ("task", "knn_percentage", "none")]
SCORES += [("task", "across", "none"), ("shuffled_task", "across", "none")]
Value = Callable[[str, int], float]  # of an outcome, at a block


def config_of(settings: Mapping[str, Any]) -> dict[str, dict]:
    """{'data.a': 1, 'data.b': 'x'} -> {'data': {'a': 1, 'b': 'x'}, 'model': {}, 'train': {'epochs': 4}}."""
    config: dict[str, dict] = {"data": {}, "model": {}, "train": {"epochs": EPOCHS}}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        config[section][name] = value
    return config


def write_point(path: Path, config: Mapping, value: Value, epochs: int = EPOCHS) -> None:
    """A run of two blocks whose scores are `value`'s in each block, trained and analysed so far."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    rows = [
        ScoreRow("main", 0, epoch, epoch, "validation", layer, label, reducer, score, value(score, int(layer)))
        for epoch in (0, epochs)
        for layer in ("0", "1", "2")
        for label, score, reducer in SCORES
    ]
    write_rows(path, rows)
    records = [
        {"run": "main", "seed": 0, "epoch": epoch, "step": epoch, "validation_accuracy": value("accuracy", 0)}
        for epoch in range(epochs + 1)
    ]
    write_metrics(path, records)


def value_of(signs: list[int], noise: float = 0.0) -> Value:
    """The effects put in, half of each to either side; `noise` goes into the unused columns."""

    def value(score: str, block: int) -> float:
        put_in = EFFECTS.get(score, [0.1 * (score == "f1")] * 9)
        sides = zip([*put_in, noise, -2 * noise], signs, strict=True)
        return 0.5 + 0.01 * block + sum(effect * sign / 2 for effect, sign in sides)

    return value


def write_design(root: Path, noise: float = 0.0, unfinished: tuple[str, ...] = ()) -> list[str]:
    for (name, signs), point in zip(SIGNS.items(), DESIGN["design"](), strict=True):
        settings = {key: value for key, value in point.items() if key != "name"}
        assert point["name"] == name
        epochs = EPOCHS - 2 if name in unfinished else EPOCHS
        write_point(root / name, config_of(settings), value_of(signs, noise), epochs)
    return list(SIGNS)


def read(root: Path, names: list[str]) -> tuple[Point[Run], ...]:
    return read_points(read_main, lambda run: "", {name: root / name for name in names}, root)


def write_grid(root: Path, values: Mapping[str, dict]) -> tuple[Point[Run], ...]:
    for name, sections in values.items():
        write_point(root / name, {"train": {"epochs": EPOCHS}} | sections, lambda score, block: 0.5)
    return read(root, list(values))


def test_the_effects_put_in_come_out(tmp_path):
    design = effects.read_design(read(tmp_path, write_design(tmp_path)))
    assert [factor.keys[0] for factor in design.factors] == [next(iter(low)) for low, _ in DESIGN["FACTORS"]]
    assert design.factors[1].keys == ("data.shortest_instruction", "data.longest_instruction")
    assert (design.factors[1].low, design.factors[1].high) == (("1", "16"), ("5", "62"))
    for outcome, put_in in (("best validation accuracy", EFFECTS["accuracy"]), (effects.ACROSS, EFFECTS["across"])):
        found = [design.effect(factor, outcome) for factor in design.factors]
        np.testing.assert_allclose(found, put_in, atol=1e-12)
        assert design.error(outcome) == pytest.approx(0, abs=1e-12)
    assert set(design.outcomes) == set(effects.OUTCOMES)
    assert design.outcomes["task F1, raw states,\nlast block"] == pytest.approx(
        design.outcomes["task F1, raw states,\nbest block"]
    )


def test_the_error_is_the_root_mean_square_of_the_unused_columns(tmp_path):
    """Two of them, of effects .03 and -.06: the main effects leave two degrees of freedom."""
    design = effects.read_design(read(tmp_path, write_design(tmp_path, noise=0.03)))
    assert design.freedom == 2
    for outcome in design.outcomes:
        if outcome != "the same, less\nwhat chance gives":
            assert design.error(outcome) == pytest.approx(np.sqrt((0.03**2 + 0.06**2) / 2))
    found = [design.effect(factor, effects.ACROSS) for factor in design.factors]
    np.testing.assert_allclose(found, EFFECTS["across"], atol=1e-12)


def test_unfinished_runs_are_left_out_and_named(tmp_path):
    points = read(tmp_path, [*write_design(tmp_path, unfinished=("run_03", "run_07")), "never"])
    design = effects.read_design(points)
    assert (design.runs, design.left_out) == (10, ("run_03", "run_07", "never"))
    (figure,), (table,) = effects.entries(points)
    assert "Left out, as not completed: run_03, run_07, never;" in figure.caption
    assert table.note not in figure.caption, "what both show is explained once, under the figure"


def test_settings_that_no_run_tells_apart_are_one(tmp_path):
    """A narrower model with larger initial values, in a grid of two by two; nothing is left for an error of three."""
    values = {
        f"{width}, {rate}": {"model": {"hidden_dim": width, "initial_scale": scale}, "optimiser": {"rate": rate}}
        for width, scale in ((128, 0.05), (32, 0.1))
        for rate in (1e-3, 1e-4)
    }
    points = write_grid(tmp_path, values)
    design = effects.read_design(points)
    assert [(factor.keys, factor.low, factor.high) for factor in design.factors] == [
        (("model.hidden_dim", "model.initial_scale"), ("32", "0.1"), ("128", "0.05")),
        (("optimiser.rate",), ("0.0001",), ("0.001",)),
    ]
    assert list(design.factors[0].is_high_Y) == [True, True, False, False]
    assert design.freedom == 1


def test_no_effects_of_three_values_or_of_few_runs(tmp_path):
    points = write_grid(tmp_path, {f"w{width}": {"model": {"hidden_dim": width}} for width in (32, 64, 128, 256)})
    assert effects.read_design(points) is None
    assert effects.read_design(points[:2]) is None
    assert effects.entries(points) == ((), ())
    page = comparison.write({point.name: tmp_path / point.name for point in points}, tmp_path, ReportSpec(formats=()))
    assert "Which setting decides" not in page.read_text()


def test_keys_that_change_no_number_are_no_settings(tmp_path):
    values = {f"p{i}": {"eval": {"workers": i}, "model": {"dropout": i % 2}} for i in range(4)}
    assert list(effects.varied(write_grid(tmp_path, values))) == ["model.dropout"]


def test_the_page_shows_settings_and_effects(tmp_path):
    """The figure and the table, the largest effect on the neighbours of other distributions first."""
    names = write_design(tmp_path, noise=0.03)
    page = comparison.write({name: tmp_path / name for name in names}, tmp_path, ReportSpec(formats=("png",)))
    assert page.read_text().count("Which setting decides") == 3  # two headings, and the words of the picture
    assert (tmp_path / "figures" / "figure_effects.png").exists()
    with (tmp_path / "tables" / "table_effects.csv").open() as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:4]] == ["data.task_vocabulary_size", "model.tied", "train.batch_size"]
    assert rows[1][1:3] == ["12", "24"]
    assert rows[-1][0] == "standard error of an effect"
    with (tmp_path / "tables" / "table_settings.csv").open() as file:
        settings = {row["setting"]: row for row in csv.DictReader(file)}
    assert len(settings) == 10
    assert (settings["model.tied"]["run_01"], settings["train.loss"]["run_12"]) == ("True", "output")


def test_every_factor_has_a_dot_in_every_panel_and_two_errors_are_shaded(tmp_path):
    design = effects.read_design(read(tmp_path, write_design(tmp_path, noise=0.03)))
    panels = {axis.get_title(loc="left"): axis for axis in effects.figure_effects(design).axes}
    assert list(panels) == list(effects.OUTCOMES)
    across = panels[effects.ACROSS]
    *_, dots = across.lines
    np.testing.assert_allclose(np.abs(dots.get_xdata()), sorted(map(abs, EFFECTS["across"]), reverse=True), atol=1e-12)
    (band,) = across.patches
    assert band.get_x() == pytest.approx(-2 * design.error(effects.ACROSS))
