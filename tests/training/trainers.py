"""A tiny trainer, for the tests of the loop and of what surrounds it."""

from __future__ import annotations

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Dataset
from clusterlm_jax.training.devices import Devices
from clusterlm_jax.training.loop import Trainer
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.spec import TrainSpec

SPEC = GPT2Spec(layers=2, heads=2, hidden_dim=16, positions=32, dropout=0.1)
VOCABULARY = 12 + 9 + 2


def make_trainer(data: Dataset | dict[int, Dataset], analysed=(), devices: Devices | None = None, **train) -> Trainer:
    """A trainer of one dataset with seed 0, or of several by seed."""
    datasets = data if isinstance(data, dict) else {0: data}
    spec = TrainSpec(**{"epochs": 4, "batch_size": 12, "learning_rate": 1e-2} | train)
    return Trainer(Phase("main", GPT2(SPEC, VOCABULARY), spec, datasets, frozenset(analysed)), devices)
