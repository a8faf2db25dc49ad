"""Instances -> batches of one fixed shape, with little padding and little done twice.

Instances are short (a third of the longest on average), so several share a row: longest first, each into the
first row with room. Instances of one instruction may share its symbols as well: `[instruction, x1, x2, ...]`, where
each input is a *branch* that sees the instruction and itself, at the position it has in its own sequence. Outputs are
targets only: nothing follows them, so their place in a row would be computed for nobody. Attention and positions stay
inside an instance, so a packed batch computes what a padded one would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.records import PADDING, Batch, Dataset, UserError

ROW_MULTIPLE = 8  # row lengths are multiples of this
UNITS = ("instance", "instruction")


def first_fit(length_SG: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs the items of each step into rows of `capacity`, longest first, each into the first row with room.

    Args:
      length_SG: lengths [step, item]; steps are packed independently, all at once.

    Returns:
      row_SG and column_SG, the place where each item starts.
    """
    steps, items = length_SG.shape
    row_SG, column_SG = np.zeros_like(length_SG), np.zeros_like(length_SG)
    filled_SR = np.zeros((steps, items), length_SG.dtype)
    every = np.arange(steps)
    for item_S in np.argsort(-length_SG, axis=1, kind="stable").T:
        length_S = length_SG[every, item_S]
        row_S = (filled_SR + length_S[:, None] <= capacity).argmax(axis=1)
        row_SG[every, item_S] = row_S
        column_SG[every, item_S] = filled_SR[every, row_S]
        filled_SR[every, row_S] += length_S
    return row_SG, column_SG


def lay_out(
    dataset: Dataset, instance_SN: np.ndarray, size_SG: np.ndarray, columns: int, rows: int | None = None
) -> Batch:
    """Packs the instances of each step; those of a group share the symbols of their instruction.

    Args:
      instance_SN: instances of the dataset [step, instance], groups standing together.
      size_SG: how many instances each group has [step, group]; the sum over groups is N.
      columns: symbols in a row, at least the longest group.
      rows: rows of each step, at least as many as the fullest needs (the default).

    Returns:
      A batch stacked [step, ...], instances in the order given.
    """
    steps, groups = size_SG.shape
    instance_I, size_K = instance_SN.ravel(), size_SG.ravel()  # K: group, I: instance, of all steps
    group_I = np.repeat(np.arange(len(size_K)), size_K)
    first_K = np.cumsum(size_K) - size_K
    branch_I = np.arange(len(instance_I)) - first_K[group_I]
    prefix_K = dataset.length_N[instance_I[first_K]] - 2
    row_K, start_K = (place.ravel() for place in first_fit((prefix_K + size_K).reshape(steps, groups), columns))
    step_K = np.repeat(np.arange(steps), groups)

    shape = (steps, int(row_K.max()) + 1 if rows is None else rows, columns)
    tokens, position, segment, branch, weight = (np.zeros(shape, np.int32) for _ in range(5))
    group_E = np.repeat(np.arange(len(prefix_K)), prefix_K)  # E: every symbol of every instruction
    offset_E = np.arange(len(group_E)) - (np.cumsum(prefix_K) - prefix_K)[group_E]
    place = step_K[group_E], row_K[group_E], start_K[group_E] + offset_E
    tokens[place] = dataset.tokens_NT[instance_I[first_K[group_E]], offset_E]
    position[place] = offset_E
    segment[place] = group_E % groups + 1
    weight[place] = size_K[group_E]
    prefix_end_I = (start_K + prefix_K - 1)[group_I]
    place = step_K[group_I], row_K[group_I], prefix_end_I + 1 + branch_I
    tokens[place] = dataset.labels["input"][instance_I]
    position[place] = prefix_K[group_I]
    segment[place] = group_I % groups + 1
    branch[place] = branch_I + 1
    row_SN, column_SN, prefix_SN, output_SN = (
        array.reshape(instance_SN.shape).astype(np.int32)
        for array in (place[1], place[2], prefix_end_I, dataset.labels["output"][instance_I])
    )
    return Batch(tokens, position, segment, branch, weight, row_SN, column_SN, prefix_SN, output_SN)


def align(batches: Sequence[Batch]) -> Batch:
    """Batches of several datasets -> one, stacked [dataset, ...]; what the smaller ones lack is padding."""

    def stack(name: str) -> np.ndarray:
        arrays = [getattr(batch, name) for batch in batches]
        return stack_padded(arrays, fill=-1 if name == "row_N" else PADDING)

    return Batch(*(stack(field.name) for field in dataclasses.fields(Batch)))


def stack_padded(arrays: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Arrays of one rank, filled up at the end of every axis to the largest, and stacked."""
    stacked = np.full((len(arrays), *np.max([array.shape for array in arrays], axis=0)), fill, arrays[0].dtype)
    for place, array in zip(stacked, arrays, strict=True):
        place[tuple(map(slice, array.shape))] = array
    return stacked


def row_length(longest: int) -> int:
    """Symbols in a row: the longest group, rounded up."""
    return -(-longest // ROW_MULTIPLE) * ROW_MULTIPLE


class TrainingBatches:
    """The batches of every epoch, a function of (dataset, batch size, unit, seed, epoch) alone.

    Each epoch visits the training instances once in a new order; the few that do not fill a last batch are left out of
    that epoch. A batch is drawn at random with a fair share of short and long instances (one of every length
    quantile), so all batches of all epochs fit one shape: nothing is compiled twice, and a tenth of the work, not a
    half, is padding.

    Args:
      batch_size: instances in a batch.
      unit: what is drawn: `instance`, as usual, or `instruction` with all its mappings, for a fraction of the work.

    Attributes:
      steps: steps of an epoch.
      rows, columns: shape of a batch.
      padding_share: share of a batch that is padding, on average.
    """

    def __init__(self, dataset: Dataset, batch_size: int, unit: str, epochs: int, seed: int) -> None:
        self._dataset, self._seed = dataset, seed
        index, size = dataset.splits["training"], 1
        if unit == "instruction":
            instruction_N = dataset.labels["instruction"][index]
            index = index[np.argsort(instruction_N, kind="stable")]
            size = int(np.bincount(instruction_N).max())
        self._unit_UM = index.reshape(-1, size)
        self._length_U = dataset.length_N[self._unit_UM[:, 0]] - 2 + size
        self._drawn = max(1, batch_size // size)
        self.steps = len(self._unit_UM) // self._drawn
        if self.steps == 0:
            raise UserError(f"train.batch_size is {batch_size}, but there are {index.size} training instances.")
        self.columns = row_length(int(self._length_U.max()))
        rows = [first_fit(self._length_U[self._units(epoch)], self.columns)[0].max() for epoch in range(1, epochs + 1)]
        self.rows = int(max(rows)) + 1
        self.padding_share = float(1 - self._length_U.mean() * self._drawn / (self.rows * self.columns))

    def epoch(self, epoch: int) -> Batch:
        """The batches of an epoch (from 1), stacked: [step, ...]."""
        instance_SN = self._unit_UM[self._units(epoch)].reshape(self.steps, -1)
        size_SG = np.full((self.steps, self._drawn), self._unit_UM.shape[1])
        return lay_out(self._dataset, instance_SN, size_SG, self.columns, self.rows)

    def _units(self, epoch: int) -> np.ndarray:
        """Which units make up each batch of an epoch: [step, unit]."""
        rng = np.random.default_rng([self._seed, 1, epoch])
        unit_U = rng.permutation(len(self._unit_UM))[: self.steps * self._drawn]
        by_length = unit_U[np.argsort(self._length_U[unit_U], kind="stable")]
        return rng.permuted(by_length.reshape(self._drawn, self.steps), axis=1).T


def reading_batches(dataset: Dataset, index: np.ndarray, rows: int) -> tuple[Batch, np.ndarray]:
    """Batches that read the input token of the instances `index` once, for a pass without dropout.

    Returns:
      Batches of `rows` rows stacked [step, ...], and instance_SN, which entry of `index` each of their instances is
      (-1 for none, where `row_N` is -1 as well).
    """
    instruction_N = dataset.labels["instruction"][index]
    order_N = np.argsort(instruction_N, kind="stable")
    size_G = np.unique(instruction_N, return_counts=True)[1]
    first_G = np.cumsum(size_G) - size_G
    columns = row_length(int((dataset.length_N[index[order_N[first_G]]] - 2 + size_G).max()))
    whole = lay_out(dataset, index[order_N][None], size_G[None], columns)
    steps = -(-whole.tokens_RT.shape[1] // rows)

    def cut(array_RT: np.ndarray) -> np.ndarray:
        filled = np.zeros((steps * rows, columns), np.int32)
        filled[: array_RT.shape[1]] = array_RT[0]
        return filled.reshape(steps, rows, columns)

    step_N = whole.row_N[0] // rows
    slot_N = np.empty_like(step_N)
    for step in range(steps):
        slot_N[step_N == step] = np.arange((step_N == step).sum())
    slot_SN = np.full((steps, slot_N.max() + 1), -1)
    slot_SN[step_N, slot_N] = np.arange(len(index))

    def sort(array_N: np.ndarray) -> np.ndarray:
        return np.where(slot_SN >= 0, array_N[slot_SN], -1).astype(np.int32)

    by_row = (
        cut(getattr(whole, name)) for name in ("tokens_RT", "position_RT", "segment_RT", "branch_RT", "weight_RT")
    )
    by_instance = (sort(a) for a in (whole.row_N[0] % rows, whole.column_N[0], whole.prefix_N[0], whole.output_N[0]))
    return Batch(*by_row, *by_instance), sort(order_N)
