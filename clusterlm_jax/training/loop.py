"""The epoch loop: a generator that trains, reads, and leaves what to do with it to its caller."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import partial

import jax
import numpy as np

from clusterlm_jax.data.batching import TrainingBatches, reading_batches
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import SPLITS, Batch, Dataset, HiddenStates, UserError, layer_names, subset
from clusterlm_jax.training import steps
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import TrainState, dropout_key, initial_state, optimiser

READING_ROWS = 64  # rows of a batch of the pass that reads hidden states
REFERENCE = "training"


class NotANumber(UserError):
    """Training diverged."""


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """What is known at the end of an epoch; epoch 0 is the untrained model.

    Attributes:
      state: the training state, on the device.
      metrics: `training_loss` over all real tokens of the epoch (with dropout, as trained on; without, at epoch 0),
        and for each split `_loss` (nats, of the output token) and `_accuracy`.
      hidden: the hidden states of both splits and of the training reference, where the epoch is one to analyse.
    """

    epoch: int
    state: TrainState
    metrics: dict[str, float]
    hidden: tuple[HiddenStates, ...]


class Reader:
    """A dropout-free pass over fixed instances: hidden states, loss and accuracy at the input token."""

    def __init__(self, model: GPT2, dataset: Dataset) -> None:
        self._model, self._dataset = model, dataset
        self._read = jax.jit(partial(steps.read_step, model))
        self._batches: dict[str, tuple[Batch, np.ndarray]] = {}

    def __call__(self, params, split: str) -> steps.Reading:
        """The reading of a split, on the host, instances in the order of the split."""
        index = self._dataset.splits[split]
        if split not in self._batches:
            self._batches[split] = reading_batches(self._dataset, index, READING_ROWS)
        batches, instance_SN = self._batches[split]
        layers = len(layer_names(self._model.spec.layers))
        hidden_LND = np.empty((layers, len(index), self._model.spec.hidden_dim), np.float32)
        loss_N, correct_N = np.empty(len(index), np.float32), np.empty(len(index), bool)
        for step, instance_N in enumerate(instance_SN):
            part = jax.device_get(self._read(params, jax.tree.map(lambda a, step=step: a[step], batches)))
            there = instance_N >= 0
            hidden_LND[:, instance_N[there]] = part.hidden_LND[:, there]
            loss_N[instance_N[there]], correct_N[instance_N[there]] = part.loss_N[there], part.correct_N[there]
        return steps.Reading(hidden_LND, loss_N, correct_N)


class Trainer:
    """One model on one dataset with one seed.

    Args:
      run: the name its hidden states carry.
      analysed: epochs whose hidden states are read besides the accuracies.
    """

    def __init__(
        self, run: str, model: GPT2, spec: TrainSpec, dataset: Dataset, seed: int, analysed: frozenset[int]
    ) -> None:
        self.run, self.model, self.spec, self.seed, self._analysed = run, model, spec, seed, analysed
        self._dataset = dataset
        self.batches = TrainingBatches(dataset, spec.batch_size, spec.batch_unit, spec.epochs, seed)
        self.optimiser = optimiser(spec, spec.epochs * self.batches.steps)
        self._steps = jax.jit(partial(steps.train_steps, model, self.optimiser), donate_argnums=1)
        self._reader = Reader(model, dataset)
        self._labels = {**dataset.labels, "position": (dataset.length_N - 2).astype(np.int32)}

    def initial_state(self) -> TrainState:
        return initial_state(self.model, self.optimiser, self.seed)

    def epochs(self, state: TrainState | None = None, done: int = -1) -> Iterator[EpochEnd]:
        """Trains from `state`, reached after epoch `done`, to the end; from the untrained model without one.

        The state of a yielded epoch is given to the device for the next one: use it before asking on.

        Raises:
          NotANumber: naming the step at which the training loss stopped being finite.
        """
        if state is None:
            state = self.initial_state()
            yield self._end(0, state, self._untrained_loss(state))
            done = 0
        for epoch in range(done + 1, self.spec.epochs + 1):
            state, loss = self._train(epoch, state)
            yield self._end(epoch, state, loss)

    def _train(self, epoch: int, state: TrainState) -> tuple[TrainState, float]:
        batches, key, total = self.batches.epoch(epoch), dropout_key(self.seed), self.batches.steps
        dispatches = math.ceil(total / self.spec.steps_per_dispatch)
        size = math.ceil(total / dispatches)  # nearly equal ones, all of one shape
        loss = tokens = 0.0
        for start in range(0, total, size):
            step_S = np.arange(start, start + size)
            chunk = jax.tree.map(lambda a, step_S=step_S: a[np.minimum(step_S, total - 1)], batches)
            state, metrics = self._steps(key, state, chunk, step_S < total)
            metrics = jax.device_get(metrics)
            self._check_finite(epoch, start, metrics.loss)
            loss, tokens = loss + metrics.loss.sum(dtype=float), tokens + metrics.tokens.sum(dtype=float)
        return state, float(loss / tokens)

    def _check_finite(self, epoch: int, start: int, loss_S: np.ndarray) -> None:
        if not np.isfinite(loss_S).all():
            step = start + int(np.flatnonzero(~np.isfinite(loss_S))[0])
            raise NotANumber(
                f"The training loss is not finite at step {(epoch - 1) * self.batches.steps + step} (epoch {epoch}): "
                f"lower train.learning_rate (now {self.spec.learning_rate}); the last checkpoint is kept."
            )

    def _untrained_loss(self, state: TrainState) -> float:
        batches = self.batches.epoch(1)
        loss_of = jax.jit(lambda params, batches: jax.lax.map(partial(steps.loss_step, self.model, params), batches))
        metrics = jax.device_get(loss_of(state.params, batches))
        return float(metrics.loss.sum(dtype=float) / metrics.tokens.sum())

    def _end(self, epoch: int, state: TrainState, training_loss: float) -> EpochEnd:
        metrics, hidden = {"training_loss": training_loss}, []
        wanted = epoch in self._analysed
        for split in (*SPLITS, *([REFERENCE] if wanted else [])):
            reading = self._reader(state.params, split)
            if split != REFERENCE:
                metrics[f"{split}_loss"] = float(reading.loss_N.mean(dtype=float))
                metrics[f"{split}_accuracy"] = float(reading.correct_N.mean())
            if wanted:
                hidden.append(self._hidden(epoch, int(state.step), split, reading))
        return EpochEnd(epoch, state, metrics, tuple(hidden))

    def _hidden(self, epoch: int, step: int, split: str, reading: steps.Reading) -> HiddenStates:
        return HiddenStates(
            hidden_LND=reading.hidden_LND,
            layers=layer_names(self.model.spec.layers),
            labels=subset(self._labels, self._dataset.splits[split]),
            run=self.run,
            seed=self.seed,
            epoch=epoch,
            step=step,
            split=split,
        )
