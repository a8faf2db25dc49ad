"""The epoch loop: a generator of what each epoch leaves behind, and nothing else (paper 3.1, 3.2).

All seeds train in one program: whatever differs between them (data, parameters, dropout, number of steps) has a leading
axis. It knows neither the analysis nor the disk: whoever drives it takes what it yields.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clusterlm_jax.data.batching import TrainingBatches, align
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import Dataset, HiddenStates, UserError, layer_names
from clusterlm_jax.training import steps
from clusterlm_jax.training.reading import Reader, SplitReading
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import Trainable, TrainState, course, initial_state

REFERENCE = "training"


class NotANumber(UserError):
    """Training diverged."""


@dataclasses.dataclass(frozen=True)
class SeedEnd:
    """What is known of one seed at the end of an epoch.

    Attributes:
      step: optimiser steps so far.
      metrics: `training_loss` over all real tokens of the epoch, or over the output tokens where `TrainSpec.loss` says
        so (with dropout, as trained on; without, at epoch 0), and for each split with instances `_loss` (nats, of the
        output token), `_sequence_loss` (nats, of all tokens), `_accuracy`, and `_identity_accuracy` where a task
        identity has several outputs for an input.
      hidden: the hidden states of both splits and of the training reference, where the epoch is one to analyse.
    """

    seed: int
    step: int
    metrics: dict[str, float]
    hidden: tuple[HiddenStates, ...]


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """The end of an epoch; epoch 0 is the untrained model.

    Attributes:
      state: the training state on the device, stacked over the seeds.
      seeds: what is known of each, in the order of the axis.
    """

    epoch: int
    state: TrainState
    seeds: tuple[SeedEnd, ...]

    def params_of(self, index: int):
        """The parameters of one seed."""
        return jax.tree.map(lambda leaf: leaf[index], self.state.params)


class Trainer:
    """One model trained with several seeds, each on its own dataset, in one program.

    A seed with fewer steps an epoch, or fewer rows a batch, is filled up with padding, which leaves its state and its
    learning rate as they are. Rounding apart, it takes the course it takes alone.

    Args:
      run: the name its hidden states carry.
      datasets: by seed.
      analysed: epochs whose hidden states are read besides the accuracies.
      initial: parameters to begin with, stacked over the seeds; None begins with the untrained model.
      trainable: whether the parameter of a path may change; None lets all.
    """

    def __init__(
        self,
        run: str,
        model: GPT2,
        spec: TrainSpec,
        datasets: Mapping[int, Dataset],
        analysed: frozenset[int],
        initial: Any = None,
        trainable: Trainable | None = None,
    ) -> None:
        self.run, self.model, self.spec, self._analysed = run, model, spec, analysed
        self.seeds, self._datasets = tuple(datasets), tuple(datasets.values())
        self.batches = tuple(
            TrainingBatches(dataset, spec.batch_size, spec.batch_unit, spec.epochs, seed)
            for seed, dataset in datasets.items()
        )
        courses = [course(seed, spec.epochs * b.steps) for seed, b in zip(self.seeds, self.batches, strict=True)]
        self._course = stack(courses)
        axis = steps.axis_of(spec)
        self._initial, self._trainable = initial, trainable
        self._steps = steps.training_program(model, spec, trainable, axis)
        self._untrained_losses = steps.losses_program(model, spec.loss, axis)
        self._splits = filled_splits(self._datasets)
        self._reader = Reader(model, self._datasets, axis)

    def initial_state(self) -> TrainState:
        given = [None] * len(self.seeds)
        if self._initial is not None:
            given = [jax.tree.map(lambda leaf, i=i: leaf[i], self._initial) for i in range(len(self.seeds))]
        return stack(
            [
                initial_state(self.model, self.spec, seed, self._trainable, params)
                for seed, params in zip(self.seeds, given, strict=True)
            ]
        )

    def epochs(self, state: TrainState | None = None, done: int = -1) -> Iterator[EpochEnd]:
        """Trains from `state`, reached after epoch `done`, to the end; from the untrained models without one.

        The state of a yielded epoch is given to the device for the next one: use it before asking on.

        Raises:
          NotANumber: naming the step at which a training loss stopped being finite.
        """
        if state is None:
            state = self.initial_state()
            metrics = jax.device_get(self._untrained_losses(state.params, align([b.epoch(1) for b in self.batches])))
            yield self._end(0, state, metrics.loss.sum(1, dtype=float) / metrics.tokens.sum(1))
            done = 0
        for epoch in range(done + 1, self.spec.epochs + 1):
            state, loss_Z = self._train(epoch, state)
            yield self._end(epoch, state, loss_Z)

    def _train(self, epoch: int, state: TrainState) -> tuple[TrainState, np.ndarray]:
        """An epoch of every seed; the mean training loss of each. Z: seed, S: step."""
        batches = align([batches.epoch(epoch) for batches in self.batches])
        steps_Z = np.array([batches.steps for batches in self.batches])
        total = int(steps_Z.max())
        dispatches = math.ceil(total / self.spec.steps_per_dispatch)
        size = math.ceil(total / dispatches)  # nearly equal ones, all of one shape
        loss_Z, tokens_Z = np.zeros(len(steps_Z)), np.zeros(len(steps_Z))
        for start in range(0, total, size):
            step_S = np.arange(start, start + size)
            chunk = jax.tree.map(lambda a, step_S=step_S: a[:, np.minimum(step_S, total - 1)], batches)
            state, metrics = self._steps(self._course, state, chunk, step_S < steps_Z[:, None])
            metrics = jax.device_get(metrics)
            self._check_finite(epoch, start, metrics.loss)
            loss_Z, tokens_Z = loss_Z + metrics.loss.sum(1, dtype=float), tokens_Z + metrics.tokens.sum(1, dtype=float)
        return state, loss_Z / tokens_Z

    def _check_finite(self, epoch: int, start: int, loss_ZS: np.ndarray) -> None:
        broken = np.argwhere(~np.isfinite(loss_ZS))
        if len(broken):
            seed, step = broken[0]
            at = (epoch - 1) * self.batches[seed].steps + start + int(step)
            raise NotANumber(
                f"The training loss of seed {self.seeds[seed]} is not finite at step {at} (epoch {epoch}): "
                f"lower {self.spec.section}.learning_rate (now {self.spec.learning_rate}); the last checkpoint is kept."
            )

    def _end(self, epoch: int, state: TrainState, loss_Z: np.ndarray) -> EpochEnd:
        wanted = epoch in self._analysed
        splits = (*self._splits, *([REFERENCE] if wanted else []))
        readings = {split: self._reader(state.params, split) for split in splits}
        step_Z = jax.device_get(state.step).tolist()
        ends = []
        for index, (seed, step) in enumerate(zip(self.seeds, step_Z, strict=True)):
            metrics = {"training_loss": float(loss_Z[index])}
            for split in self._splits:
                metrics |= _metrics(split, readings[split][index])
            hidden = [self._hidden(epoch, index, step, split, readings[split][index]) for split in splits if wanted]
            ends.append(SeedEnd(seed, step, metrics, tuple(hidden)))
        return EpochEnd(epoch, state, tuple(ends))

    def _hidden(self, epoch: int, index: int, step: int, split: str, reading: SplitReading) -> HiddenStates:
        dataset = self._datasets[index]
        return HiddenStates(
            hidden_LND=reading.hidden_LND,
            layers=layer_names(self.model.spec.layers),
            labels=dataset.columns(dataset.splits[split]),
            run=self.run,
            seed=self.seeds[index],
            epoch=epoch,
            step=step,
            split=split,
        )


def _metrics(split: str, reading: SplitReading) -> dict[str, float]:
    metrics = {
        f"{split}_loss": reading.loss,
        f"{split}_sequence_loss": reading.sequence_loss,
        f"{split}_accuracy": reading.accuracy,
    }
    if reading.identity_accuracy is not None:
        metrics[f"{split}_identity_accuracy"] = reading.identity_accuracy
    return metrics


def filled_splits(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    """The splits to read that have instances; without hard examples there is no training subset."""
    datasets = tuple(datasets)
    return tuple(
        name for name in datasets[0].splits if name != REFERENCE and all(len(d.splits[name]) for d in datasets)
    )


def stack(trees: list):
    """Trees of one seed each -> one tree with a leading seed axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
