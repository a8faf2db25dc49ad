"""The epoch loop: a generator that yields the results of each epoch and does nothing else (paper 3.1, 3.2).

All seeds train in one program: whatever differs between them (data, parameters, dropout, number of steps) has a leading
axis. The loop knows neither the analysis nor the disk; its caller scores and saves what it yields.

The device never waits for the host: it has the next epoch before the host fetches the results of this one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from clusterlm_jax.data import surface
from clusterlm_jax.data.batching import TrainingBatches, align
from clusterlm_jax.models import placement
from clusterlm_jax.records import Batch, Dataset, HiddenStates, UserError, layer_names
from clusterlm_jax.training import steps
from clusterlm_jax.training.devices import Devices, devices_for
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.reading import Reader, SplitReading
from clusterlm_jax.training.state import TrainState, course, initial_state

REFERENCE = "training"


class NotANumber(UserError):
    """Training diverged."""


@dataclasses.dataclass(frozen=True)
class SeedEnd:
    """The results of one seed at the end of an epoch.

    Attributes:
      step: optimiser steps so far.
      metrics: `training_loss` is the mean over all tokens of the epoch's batches (over the output tokens where
        `TrainSpec.loss` is "output"), `training_accuracy` the share of their output tokens predicted. Both come from
        the passes that train, so with dropout, and while the parameters change; at epoch 0 without either. For each
        split with instances `_loss` (nats, of the output token), `_sequence_loss` (nats, of all tokens), `_accuracy`,
        and `_identity_accuracy` where a task identity has several outputs for an input; `hard_leaving_accuracy` and
        `hard_matching_accuracy` of the hard examples of each kind. These come from a pass without dropout at the end
        of the epoch.
      hidden: the hidden states of both splits and of the training reference if the epoch is analysed, else empty.
    """

    seed: int
    step: int
    metrics: dict[str, float]
    hidden: tuple[HiddenStates, ...]


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """The end of an epoch; epoch 0 is the untrained model.

    Attributes:
      state: the training state on the device, stacked over the seeds. It stays there as long as it is held.
      seeds: the results of each seed, in the order of the axis.
    """

    epoch: int
    state: TrainState
    seeds: tuple[SeedEnd, ...]

    def params_of(self, index: int):
        """The parameters of one seed; on the host, where this process holds them whole.

        A slice on the device would wait for the next epoch, which is computed meanwhile.
        """
        return jax.tree.map(
            lambda leaf: (jax.device_get(leaf) if leaf.is_fully_addressable else leaf)[index], self.state.params
        )


class Dispatched(NamedTuple):
    """An epoch as the device was given it; nothing here was waited for."""

    epoch: int
    state: TrainState
    metrics: steps.StepMetrics  # [seed, step]
    readings: dict[str, list[steps.Reading]]  # by split: its batches


class Trainer:
    """One model trained with several seeds, each on its own dataset, in one program.

    A seed with fewer steps per epoch, or fewer rows per batch, is filled up with padding. Padding changes neither its
    state nor its learning rate: except for rounding, training seeds together reproduces each one's own losses. The same
    holds for the rows of padding that give each device as many.

    Attributes:
      devices: all devices, unless told otherwise.
      template: shapes, types and places of the states.
    """

    def __init__(self, phase: Phase, devices: Devices | None = None) -> None:
        self.phase = phase
        spec = phase.spec
        shapes = jax.eval_shape(partial(initial_states, phase))
        self.devices = devices or devices_for(shapes)
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
        self.template = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            shapes,
            self.devices.states(one),
        )
        self.batches = tuple(
            TrainingBatches(dataset, spec.batch_size, spec.batch_unit, spec.epochs, seed)
            for seed, dataset in phase.datasets.items()
        )
        courses = [course(seed, spec.epochs * b.steps) for seed, b in zip(phase.seeds, self.batches, strict=True)]
        self._course = stack(courses)
        axis = steps.axis_of(spec)
        self._steps = steps.training_program(phase.model, spec, phase.trainable, axis, self.devices)
        self._untrained = steps.losses_program(phase.model, spec.loss, axis, self.devices)
        self._splits = filled_splits(phase.datasets.values())
        self._reader = Reader(phase.model, tuple(phase.datasets.values()), axis, self.devices)

    @property
    def batches_by_seed(self) -> dict[str, dict[str, float]]:
        """What `run.json` says of the batches of each seed."""
        batches = zip(self.phase.seeds, self.batches, strict=True)
        return {
            str(seed): {"steps_per_epoch": b.steps, "instances_per_step": b.instances, "padding_share": b.padding_share}
            for seed, b in batches
        }

    def epochs(self, state: TrainState | None = None, done: int = -1) -> Iterator[EpochEnd]:
        """Trains from `state`, the state after epoch `done`, to the last epoch; without it, from the untrained models.

        The next epoch is computed while the caller uses a yielded one. So the device holds three states: what the
        caller has, what the next epoch begins with, and what comes out of it.

        Raises:
          NotANumber: naming the step at which a training loss stopped being finite.
        """
        if state is None:
            state, done = self._initial(), 0
            metrics = self._untrained(state.params, self._epoch(1))
            # Not ahead: the first epoch has to be compiled, and the caller can use the untrained model meanwhile.
            yield self._end(self._dispatched(0, state, metrics))
        for dispatched in one_ahead(self._trained(state, done)):
            yield self._end(dispatched)

    def _trained(self, state: TrainState, done: int) -> Iterator[Dispatched]:
        """Hands one epoch after the other to the device: all its steps in one program, then what is read after it."""
        steps_Z = np.array([batches.steps for batches in self.batches])
        real_ZS = np.arange(steps_Z.max()) < steps_Z[:, None]
        for epoch in range(done + 1, self.phase.spec.epochs + 1):
            state, metrics = self._steps(self._course, state, self._epoch(epoch), real_ZS)
            yield self._dispatched(epoch, state, metrics)

    def _initial(self) -> TrainState:
        """The states before the first step, where they stay."""
        places = jax.tree.map(lambda leaf: leaf.sharding, self.template)
        if self.devices.cut:  # no device holds them, not even at first; compiled, their last bits are others
            return jax.jit(partial(initial_states, self.phase), out_shardings=places)()
        return jax.tree.map(placement.put, jax.device_get(initial_states(self.phase)), places)

    def _epoch(self, epoch: int) -> Batch:
        """The batches of an epoch, of all seeds, on the devices."""
        return self.devices.batches(align([batches.epoch(epoch) for batches in self.batches]))

    def _dispatched(self, epoch: int, state: TrainState, metrics: steps.StepMetrics) -> Dispatched:
        splits = (*self._splits, *([REFERENCE] if epoch in self.phase.analysed else []))
        return Dispatched(
            epoch, state, metrics, {split: self._reader.dispatch(state.params, split) for split in splits}
        )

    def _check_finite(self, epoch: int, loss_ZS: np.ndarray) -> None:
        broken = np.argwhere(~np.isfinite(loss_ZS))
        if len(broken):
            seed, step = broken[0]
            at = (epoch - 1) * self.batches[seed].steps + int(step)
            spec = self.phase.spec
            raise NotANumber(
                f"The training loss of seed {self.phase.seeds[seed]} is not finite at step {at} (epoch {epoch}): "
                f"lower {spec.section}.learning_rate (now {spec.learning_rate}), and this training begins again."
            )

    def _end(self, dispatched: Dispatched) -> EpochEnd:
        """Waits for an epoch."""
        epoch, state = dispatched.epoch, dispatched.state
        metrics = jax.device_get(dispatched.metrics)
        self._check_finite(epoch, metrics.loss)
        sums, wanted = _summed(metrics), epoch in self.phase.analysed
        readings = {split: self._reader.fetch(parts, split) for split, parts in dispatched.readings.items()}
        step_Z = jax.device_get(state.step).tolist()
        ends = []
        for index, (seed, step) in enumerate(zip(self.phase.seeds, step_Z, strict=True)):
            loss, tokens, right, instances = (float(sum_Z[index]) for sum_Z in sums)
            metrics = {"training_loss": loss / tokens, "training_accuracy": right / instances}
            for split in self._splits:
                metrics |= _metrics(split, readings[split][index])
            hidden = [self._hidden(epoch, index, step, split, readings[split][index]) for split in readings if wanted]
            ends.append(SeedEnd(seed, step, metrics, tuple(hidden)))
        return EpochEnd(epoch, state, tuple(ends))

    def _hidden(self, epoch: int, index: int, step: int, split: str, reading: SplitReading) -> HiddenStates:
        phase, seed = self.phase, self.phase.seeds[index]
        columns = surface.columns(phase.datasets[seed], phase.datasets[seed].splits[split])
        return HiddenStates(
            hidden_LND=reading.hidden_LND,
            layers=layer_names(phase.model.spec.layers),
            labels=columns | {"right": reading.right_N.astype(np.int32)},
            run=phase.run,
            seed=seed,
            epoch=epoch,
            step=step,
            split=split,
        )


def one_ahead(dispatched: Iterator[Dispatched]) -> Iterator[Dispatched]:
    """The same epochs. Each is handed to the device before the one before it is waited for."""
    following = next(dispatched, None)
    while following is not None:
        now, following = following, next(dispatched, None)
        yield now


def initial_states(phase: Phase) -> TrainState:
    """The states before the first step, stacked over the seeds; `jax.eval_shape` of it gives a checkpoint's shapes."""
    given = [None] * len(phase.seeds)
    if phase.initial is not None:
        given = [jax.tree.map(lambda leaf, i=i: leaf[i], phase.initial) for i in range(len(phase.seeds))]
    return stack(
        [
            initial_state(phase.model, phase.spec, seed, phase.trainable, params)
            for seed, params in zip(phase.seeds, given, strict=True)
        ]
    )


def filled_splits(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    """The splits to read that have instances; without hard examples there is no training subset."""
    datasets = tuple(datasets)
    return tuple(
        name for name in datasets[0].splits if name != REFERENCE and all(len(d.splits[name]) for d in datasets)
    )


def stack(trees: list):
    """Trees of one seed each -> one tree with a leading seed axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _summed(metrics: steps.StepMetrics) -> steps.StepMetrics:
    """[seed, step] -> [seed], in float64: float32 would round the sum of an epoch's losses."""
    return jax.tree.map(lambda value_ZS: value_ZS.sum(1, dtype=float), metrics)


def _metrics(split: str, reading: SplitReading) -> dict[str, float]:
    metrics = {
        f"{split}_loss": reading.loss,
        f"{split}_sequence_loss": reading.sequence_loss,
        f"{split}_accuracy": reading.accuracy,
    }
    if reading.identity_accuracy is not None:
        metrics[f"{split}_identity_accuracy"] = reading.identity_accuracy
    return metrics | {f"{kind}_accuracy": accuracy for kind, accuracy in reading.hard_accuracies.items()}
