"""A phase: one training with one or several seeds, from its start to its last epoch."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from clusterlm_jax.records import Dataset
from clusterlm_jax.training.spec import TrainSpec

if typing.TYPE_CHECKING:  # a page is drawn again without jax
    from clusterlm_jax.models.gpt2 import GPT2


@dataclasses.dataclass(frozen=True)
class Criterion:
    """The metric that chooses the best epoch, whose parameters are kept; of equal epochs the earliest.

    Epoch 0 is the untrained model: it is the best where no later epoch is better.
    """

    metric: str
    highest: bool = True

    def better(self, value: float, than: float) -> bool:
        return value > than if self.highest else value < than


ACCURACY = Criterion("validation_accuracy")  # the paper's
# For pre-training on instructions alone: nothing there determines an output, so accuracy says nothing.
LOSS = Criterion("validation_sequence_loss", highest=False)


def analysed_epochs(epochs: int, every: int) -> frozenset[int]:
    """Epoch 0, then every `every`-th, and the last."""
    return frozenset({*range(0, epochs + 1, every), epochs})


@dataclasses.dataclass(frozen=True)
class Phase:
    """What is trained, on what, and for how long.

    Attributes:
      run: its name in every row.
      datasets: by seed; each seed trains on its own.
      analysed: epochs whose hidden states are read and scored.
      criterion: which epoch's parameters are kept as the best.
      initial: parameters to begin with, stacked over the seeds; None begins with the untrained model.
      trainable: the path of the only parameter that changes, its names joined by "/"; empty trains all.
    """

    run: str
    model: GPT2
    spec: TrainSpec
    datasets: Mapping[int, Dataset]
    analysed: frozenset[int] = frozenset()
    criterion: Criterion = ACCURACY
    initial: Any = None
    trainable: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.datasets)
