"""What the main experiment is told fits together, or is refused in a sentence that names the key."""

from __future__ import annotations

import dataclasses

import pytest

from clusterlm_jax import experiments
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.experiments.emergence.settings import SETTINGS, Emergence
from clusterlm_jax.experiments.emergence.stages import STAGES
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError
from clusterlm_jax.training.spec import TrainSpec


def test_the_defaults_fit_and_name_every_stage() -> None:
    config = SETTINGS()
    assert SETTINGS is Emergence is experiments.part("emergence", "settings").SETTINGS
    assert config.experiment == "emergence" and config.stages == tuple(STAGES)
    assert (config.data.number_of_tasks, config.model.hidden_dim, config.train.epochs) == (50, 768, 200)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": GPT2Spec(positions=32)}, "needs 64 positions"),
        ({"train": TrainSpec(batch_size=100000)}, "train.batch_size is 100000"),
        ({"eval": AnalysisSpec(every=1000)}, "eval.every is 1000"),
        ({"stages": ("data", "tain")}, "config.stages"),
        ({"seeds": (1, 1)}, "config.seeds is"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Emergence(**given)


def test_sections_are_checked_with_one_another() -> None:
    """Each value is allowed by itself."""
    data = dataclasses.replace(DataSpec(), longest_instruction=20)
    assert Emergence(data=data, model=GPT2Spec(positions=32)).model.positions == 32
