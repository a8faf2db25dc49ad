"""Reads models without dropout on fixed instances, all seeds at once: hidden states and accuracy at the input token.

Letters of a shape: the table in `records`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from clusterlm_jax.data import surface
from clusterlm_jax.data.batching import align, reading_batches, stack_padded
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import Batch, Dataset, layer_names
from clusterlm_jax.training import steps
from clusterlm_jax.training.devices import Devices, devices_for

ROWS = 64  # of a batch: few enough that the logits [R, T, V] and attention weights of a batch stay small


@dataclasses.dataclass(frozen=True)
class SplitReading:
    """What one pass read at the input tokens of a split, on the host; instances in the order of the split.

    Attributes:
      hidden_LND: float32; layers in the order of `records.layer_names`.
      loss: mean cross-entropy of the output tokens, nats.
      sequence_loss: mean cross-entropy of all tokens except the first of each instance, nats.
      right_N: bool, whether the predicted token is the output of the instance's own task.
      accuracy: share of instances that are right.
      identity_accuracy: share of instances whose predicted token is *any* output that their task identity has for the
        input. None where there is only one such output, which is the case except for similar tasks (B.1).
      hard_accuracies: the accuracy of those hard examples that left their original's expression (`hard_leaving`), and
        of those that still match it (`hard_matching`); without a kind that the split does not have.
    """

    hidden_LND: np.ndarray
    loss: float
    sequence_loss: float
    right_N: np.ndarray
    accuracy: float
    identity_accuracy: float | None
    hard_accuracies: Mapping[str, float]


class Reader:
    """Reads the models of several seeds, each on its own dataset.

    The batches of smaller datasets are padded to the shape of the largest, so that one program reads all seeds. They
    stay on the device.
    """

    def __init__(self, model: GPT2, datasets: Sequence[Dataset], axis: str, devices: Devices | None = None) -> None:
        """On all devices, unless told otherwise."""
        self._model, self._datasets, self._devices = model, datasets, devices or devices_for(())
        self._read = steps.reading_program(model, axis, self._devices)
        self._batches: dict[str, tuple[list[Batch], np.ndarray]] = {}

    def __call__(self, params, split: str) -> list[SplitReading]:
        """The reading of a split, one for each seed; `params` are stacked over the seeds."""
        return self.fetch(self.dispatch(params, split), split)

    def dispatch(self, params, split: str) -> list[steps.Reading]:
        """Hands the batches of a split to the device, and does not wait for their readings."""
        if split not in self._batches:
            batches, instance_ZSN = _batches_of(self._datasets, split)
            by_step = [jax.tree.map(lambda a, s=step: a[:, s], batches) for step in range(instance_ZSN.shape[1])]
            self._batches[split] = [*map(self._devices.batches, by_step)], instance_ZSN
        # One by one: the logits and attention weights of a whole split need not fit on the device.
        return [self._read(params, batch) for batch in self._batches[split][0]]

    def fetch(self, parts: Sequence[steps.Reading], split: str) -> list[SplitReading]:
        """The reading of a split, one for each seed, from what `dispatch` gave."""
        instance_ZSN = self._batches[split][1]
        sizes = [len(dataset.splits[split]) for dataset in self._datasets]
        layers, width = len(layer_names(self._model.spec.layers)), self._model.spec.hidden_dim
        hidden_ZLND = [np.empty((layers, size, width), np.float32) for size in sizes]
        loss_ZN = [np.empty(size, np.float32) for size in sizes]
        predicted_ZN = [np.empty(size, np.int32) for size in sizes]
        sequence_Z2 = np.zeros((len(sizes), 2))  # sum of the loss, number of tokens
        for step, part in enumerate(map(jax.device_get, parts)):
            sequence_Z2 += np.stack(part.sequence, axis=1)
            for seed, instance_N in enumerate(instance_ZSN[:, step]):
                there, place = instance_N >= 0, instance_N[instance_N >= 0]  # -1 marks a slot of padding
                hidden_ZLND[seed][:, place] = part.hidden_LND[seed][:, there]
                loss_ZN[seed][place] = part.loss_N[seed][there]
                predicted_ZN[seed][place] = part.predicted_N[seed][there]
        return [
            SplitReading(
                hidden_LND,
                float(loss_N.mean(dtype=float)),
                float(loss / tokens),
                predicted_N == dataset.labels["output"][dataset.splits[split]],
                *_accuracies(dataset, split, predicted_N),
                _hard_accuracies(dataset, split, predicted_N),
            )
            for dataset, hidden_LND, loss_N, (loss, tokens), predicted_N in zip(
                self._datasets, hidden_ZLND, loss_ZN, sequence_Z2, predicted_ZN, strict=True
            )
        ]


def answerer(
    answer: Callable[..., Any], datasets: Sequence[Dataset], split: str, axis: str
) -> Callable[..., list[Any]]:
    """Turns a function of one batch into one of a whole split and of all seeds.

    Args:
      answer: (arguments of a seed..., batch) -> a tree of arrays [instance of the batch].

    Returns:
      (arguments stacked over the seeds...) -> one tree for each seed, of arrays [instance of the split] on the host.
    """
    batches, instance_ZSN = _batches_of(datasets, split)
    step_of_seeds = jax.jit(steps.over_seeds(answer, axis))
    sizes = [len(dataset.splits[split]) for dataset in datasets]

    def answers(*arguments: Any) -> list[Any]:
        parts = [
            jax.device_get(step_of_seeds(*arguments, jax.tree.map(lambda a, step=step: a[:, step], batches)))
            for step in range(instance_ZSN.shape[1])
        ]
        together = jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *parts)  # [seed, step, slot]

        def in_order(seed: int, array_ZSN: np.ndarray) -> np.ndarray:
            there_SN = instance_ZSN[seed] >= 0
            array_N = np.empty(sizes[seed], array_ZSN.dtype)
            array_N[instance_ZSN[seed][there_SN]] = array_ZSN[seed][there_SN]
            return array_N

        return [jax.tree.map(partial(in_order, seed), together) for seed in range(len(sizes))]

    return answers


def _batches_of(datasets: Sequence[Dataset], split: str) -> tuple[Batch, np.ndarray]:
    """The batches of a split [seed, step, ...], and the instance in each of their slots [seed, step, slot]."""
    laid_out = [reading_batches(dataset, dataset.splits[split], ROWS) for dataset in datasets]
    batches, instance_SN = zip(*laid_out, strict=True)
    return align(batches), stack_padded(instance_SN, fill=-1)


def _accuracies(dataset: Dataset, split: str, predicted_N: np.ndarray) -> tuple[float, float | None]:
    """Accuracy, and identity accuracy where a task identity has several outputs for an input."""
    index, labels, tokens = dataset.splits[split], dataset.labels, dataset.vocabulary.size
    # A pair (task, input), and a triple with the output, as one number each: `isin` then looks up all triples at once.
    question_M = labels["task"] * tokens + labels["input"]  # M: instances of the whole dataset, not of the split
    known = np.unique(question_M * tokens + labels["output"])
    accuracy = float((predicted_N == labels["output"][index]).mean())
    if len(known) == len(np.unique(question_M)):
        return accuracy, None
    return accuracy, float(np.isin(question_M[index] * tokens + predicted_N, known).mean())


def _hard_accuracies(dataset: Dataset, split: str, predicted_N: np.ndarray) -> dict[str, float]:
    columns = surface.columns(dataset, dataset.splits[split])
    right_N, hard_N, matching_N = predicted_N == columns["output"], columns["original"] >= 0, columns["matching"] > 0
    kinds = {"hard_leaving": hard_N & ~matching_N, "hard_matching": matching_N}
    return {kind: float(right_N[of_N].mean()) for kind, of_N in kinds.items() if of_N.any()}
