"""Impossible trainings are refused in one sentence, which names the section of the configuration."""

from __future__ import annotations

import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.training.spec import FinetuneSpec, PretrainSpec, SwitchSpec, TrainSpec


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"checkpoint_every": -1}, "checkpoint_every is -1; it must be at least 1"),
        ({"batch_unit": "task"}, "batch_unit is 'task'; allowed: instance, instruction"),
        ({"loss": "input"}, "loss is 'input'; allowed: sequence, output"),
        ({"seed_axis": "pmap"}, "seed_axis is 'pmap'; allowed: auto, vmap, map"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"max_gradient_norm": float("nan")}, "max_gradient_norm is nan; it must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; it must be at least 0"),
    ],
)
@pytest.mark.parametrize(
    ("spec", "section"), [(TrainSpec, "train"), (PretrainSpec, "pretrain"), (FinetuneSpec, "finetune")]
)
def test_impossible_trainings_are_refused(spec, section, wrong, sentence):
    with pytest.raises(UserError, match=rf"^{section}\.{sentence}\.$"):
        spec(**wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"examples": ()}, r"switch.examples is \(\); it must hold one number or more"),
        ({"examples": (1, 1)}, "each once"),
        ({"examples": (0,)}, "at least 1"),
        ({"steps": 0}, "switch.steps is 0; it must be at least 1"),
        ({"learning_rate": -1.0}, "switch.learning_rate is -1.0; it must be above 0"),
    ],
)
def test_impossible_switches_are_refused(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        SwitchSpec(**wrong)
