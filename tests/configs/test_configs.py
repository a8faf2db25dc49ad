"""The pages of the folder configs/: what they say is what the paper has, and each builds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax import config
from clusterlm_jax.settings import Settings

CONFIGS = Path(__file__).parents[2] / "configs"
PAGES = sorted(CONFIGS.glob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_file_of_a_run_gives_its_configuration_again(path):
    """`config.json` loses nothing: built again from it, the settings are the same. Breaks if a tuple stays a list."""
    for built in config.points(config.from_file(path, "quick")).values():
        read = json.loads(json.dumps(built.as_dict()))
        assert config.build(config.config_dict.ConfigDict(read)) == built
