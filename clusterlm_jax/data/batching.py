"""Instances -> batches of one fixed shape, with little padding and little repeated work.

- *Packing.* The average instance has a third of the symbols of the longest, so padding each to the longest would spend
  most of the work on padding. Several instances share a row instead.
- *Sharing.* Instances of one instruction can share its symbols: `[instruction, x1, x2, ...]`. Each input x is a
  *branch*: it sees the instruction and itself, at the position it has in its own sequence.
- *Outputs are targets only.* No symbol follows them, so they take no place in a row.

Attention and positions stay inside an instance, so a packed batch computes the same as a padded one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusterlm_jax.records import PADDING, Batch, Dataset, Instances, UserError

ROW_MULTIPLE = 8  # row lengths are multiples of this
# Of instances that are read, so many share an instruction's symbols at most: attention costs the square of a row.
MOST_SHARED = 256
UNITS = ("instance", "instruction")


def first_fit(length_SG: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs the items of each step into rows of `capacity`: longest first, each into the first row with room.

    First fit is simple, deterministic and close to the best packing: the short items that come last fill the gaps.

    Args:
      length_SG: lengths [step, item]. Each step is packed on its own.

    Returns:
      row_SG and column_SG: where each item starts.
    """
    steps, items = length_SG.shape
    row_SG, column_SG = np.zeros_like(length_SG), np.zeros_like(length_SG)
    filled_SR = np.zeros((steps, items), length_SG.dtype)
    every = np.arange(steps)
    # One item of every step at a time: the loop is as long as one step, not as all steps of all epochs.
    for item_S in np.argsort(-length_SG, axis=1, kind="stable").T:
        length_S = length_SG[every, item_S]
        row_S = (filled_SR + length_S[:, None] <= capacity).argmax(axis=1)  # argmax gives the first True
        row_SG[every, item_S] = row_S
        column_SG[every, item_S] = filled_SR[every, row_S]
        filled_SR[every, row_S] += length_S
    return row_SG, column_SG


def lay_out(
    dataset: Instances, instance_SN: np.ndarray, size_SG: np.ndarray, columns: int, rows: int | None = None
) -> Batch:
    """Packs the instances of each step. The instances of a group share the symbols of their instruction.

    Args:
      instance_SN: instances of the dataset [step, instance]; those of a group are neighbours.
      size_SG: number of instances of each group [step, group]; every step has N instances in all.
      columns: symbols in a row; at least as many as the longest group has.
      rows: rows of each step; by default, as many as the fullest step needs.

    Returns:
      A batch stacked [step, ...], with the instances in the order given.
    """
    first_SG = np.cumsum(size_SG, axis=1) - size_SG
    # The instruction is the prefix of a group: all symbols of its first instance but input and output.
    prefix_SG = dataset.length_N[np.take_along_axis(instance_SN, first_SG, axis=1)] - 2
    row_SG, column_SG = first_fit(prefix_SG + size_SG, columns)

    shape = (len(size_SG), int(row_SG.max()) + 1 if rows is None else rows, columns)
    tokens, position, segment, branch, weight = (np.zeros(shape, np.int32) for _ in range(5))
    row_SN, column_SN, prefix_SN = (np.zeros(instance_SN.shape, np.int32) for _ in range(3))
    # As a list, because Python loops over numpy integers slowly.
    steps = np.stack([first_SG, size_SG, prefix_SG, row_SG, column_SG], axis=2).tolist()
    for step, groups in enumerate(steps):
        for number, (first, size, prefix, row, start) in enumerate(groups, start=1):
            members = step, slice(first, first + size)
            instruction = step, row, slice(start, start + prefix)
            inputs = step, row, slice(start + prefix, start + prefix + size)
            instances = instance_SN[members]

            tokens[instruction] = dataset.tokens_NT[instances[0], :prefix]
            position[instruction] = np.arange(prefix)
            segment[instruction] = number
            weight[instruction] = size
            tokens[inputs] = dataset.tokens_NT[instances, prefix]
            position[inputs] = prefix
            segment[inputs] = number
            branch[inputs] = np.arange(1, size + 1)

            row_SN[members] = row
            column_SN[members] = start + prefix + np.arange(size)
            prefix_SN[members] = start + prefix - 1
    output_SN = dataset.labels["output"][instance_SN].astype(np.int32)
    return Batch(tokens, position, segment, branch, weight, row_SN, column_SN, prefix_SN, output_SN)


def align(batches: Sequence[Batch]) -> Batch:
    """Stacks the batches of several datasets into one [dataset, ...]; smaller ones are padded to the largest."""

    def stack(name: str) -> np.ndarray:
        arrays = [getattr(batch, name) for batch in batches]
        return stack_padded(arrays, fill=-1 if name == "row_N" else PADDING)

    return Batch(*map(stack, Batch._fields))


def stack_padded(arrays: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Stacks arrays of one rank, each padded with `fill` at the end of every axis to the largest shape."""
    stacked = np.full((len(arrays), *np.max([array.shape for array in arrays], axis=0)), fill, arrays[0].dtype)
    for place, array in zip(stacked, arrays, strict=True):
        place[tuple(map(slice, array.shape))] = array
    return stacked


def fill_rows(batches: Batch, multiple: int) -> Batch:
    """Batches [..., row, column] with rows of padding at the end, so that their number is a multiple of this."""
    missing = -batches.tokens_RT.shape[-2] % multiple

    def fill(array_RT: np.ndarray) -> np.ndarray:
        return np.pad(array_RT, [(0, 0)] * (array_RT.ndim - 2) + [(0, missing), (0, 0)], constant_values=PADDING)

    return batches._replace(**{name: fill(getattr(batches, name)) for name in Batch._fields if name.endswith("_RT")})


def row_length(longest: int) -> int:
    """Symbols in a row: the length of the longest group, rounded up to a multiple of `ROW_MULTIPLE`."""
    return -(-longest // ROW_MULTIPLE) * ROW_MULTIPLE


class TrainingBatches:
    """The training batches of every epoch. They depend on (dataset, batch size, unit, seed, epoch) and nothing else.

    Each epoch visits the training instances once, in a new order. The few that do not fill a last batch are left out of
    that epoch. Each batch is random but has a fair share of short and long instances: it takes one from every length
    quantile. So one shape fits all batches of all epochs, and nothing is compiled twice. Of a batch of 64 of the
    paper's data 5% is padding, 23% where instructions are shared, 62% with an instance in each row
    (`benchmarks.packing`).

    Args:
      batch_size: instances in a batch. A batch of instructions has at most so many, and at least one instruction.
      unit: what is drawn. `instance`: single instances, as is usual. `instruction`: an instruction with all its
        mappings, which costs a fraction of the work.

    Attributes:
      steps: steps of an epoch.
      instances: instances that a batch really has.
      rows, columns: shape of a batch.
      padding_share: share of a batch that is padding, on average.

    Raises:
      UserError: if the training instances do not fill one batch.
    """

    def __init__(self, dataset: Dataset, batch_size: int, unit: str, epochs: int, seed: int) -> None:
        self._dataset, self._seed = dataset, seed
        index, size = dataset.splits["training"], 1
        if unit == "instruction":
            instruction_N = dataset.labels["instruction"][index]
            index = index[np.argsort(instruction_N, kind="stable")]
            size = int(np.bincount(instruction_N).max())
        self._unit_UN = index.reshape(-1, size)
        self._length_U = dataset.length_N[self._unit_UN[:, 0]] - 2 + size
        self._drawn = max(1, batch_size // size)
        self.instances = self._drawn * size
        self.steps = len(self._unit_UN) // self._drawn
        if self.steps == 0:
            raise UserError(f"train.batch_size is {batch_size}, but there are {index.size} training instances.")
        self.columns = row_length(int(self._length_U.max()))
        # Every epoch is packed here once, lengths only, to learn the number of rows that all of them fit.
        rows = [first_fit(self._length_U[self._units(epoch)], self.columns)[0].max() for epoch in range(1, epochs + 1)]
        self.rows = int(max(rows)) + 1
        self.padding_share = float(1 - self._length_U.mean() * self._drawn / (self.rows * self.columns))

    def epoch(self, epoch: int) -> Batch:
        """The batches of an epoch (from 1), stacked: [step, ...]."""
        instance_SN = self._unit_UN[self._units(epoch)].reshape(self.steps, -1)
        size_SG = np.full((self.steps, self._drawn), self._unit_UN.shape[1])
        return lay_out(self._dataset, instance_SN, size_SG, self.columns, self.rows)

    def _units(self, epoch: int) -> np.ndarray:
        """The units of each batch of an epoch: [step, unit]."""
        rng = np.random.default_rng([self._seed, 1, epoch])
        unit_U = rng.permutation(len(self._unit_UN))[: self.steps * self._drawn]
        by_length = unit_U[np.argsort(self._length_U[unit_U], kind="stable")]
        # A row of the table below is a length quantile, a column a batch: shuffling within rows mixes the batches.
        return rng.permuted(by_length.reshape(self._drawn, self.steps), axis=1).T


def reading_batches(
    dataset: Instances, index: np.ndarray, rows: int, shared: bool = True, tokens: int | None = None
) -> tuple[Batch, np.ndarray]:
    """Batches for a pass without dropout that reads the input token of each instance in `index` once.

    An instance may be in `index` several times; each time it is a branch of its own.

    Args:
      rows: of a batch, at most.
      shared: whether instances of one instruction share its symbols, `MOST_SHARED` at most.
      tokens: of a batch at most, padding included, in rows of one length; None for `rows` rows whatever is in them.

    Returns:
      Batches of one shape, stacked [step, ...], and instance_SN: the place in `index` of each of their instances
      (-1 for an empty slot, where `row_N` is -1 as well).
    """
    group_N = dataset.labels["instruction"][index] if shared else np.arange(len(index))
    order_N = np.argsort(group_N, kind="stable")
    sorted_N = group_N[order_N]
    place_N = np.arange(len(index)) - np.searchsorted(sorted_N, sorted_N)  # among those of its group
    first_G = np.flatnonzero(place_N % MOST_SHARED == 0)
    size_G = np.diff(first_G, append=len(index))
    columns = row_length(int((dataset.length_N[index[order_N[first_G]]] - 2 + size_G).max()))
    # All instances are packed as one long step first, which is then cut into steps of `rows` rows.
    whole = lay_out(dataset, index[order_N][None], size_G[None], columns)
    needed = whole.tokens_RT.shape[1]
    if tokens is not None:  # as many steps as that takes, and no more rows in each than these need
        steps = -(-needed // max(1, min(rows, tokens // columns)))
        rows = -(-needed // steps)
    steps = -(-needed // rows)

    def cut(array_RT: np.ndarray) -> np.ndarray:
        """[1, rows of the long step, column] -> [step, row, column], with empty rows at the end."""
        filled = np.zeros((steps * rows, columns), np.int32)
        filled[: array_RT.shape[1]] = array_RT[0]
        return filled.reshape(steps, rows, columns)

    step_N = whole.row_N[0] // rows
    slot_N = np.empty_like(step_N)  # the place of an instance among those of its step
    for step in range(steps):
        slot_N[step_N == step] = np.arange((step_N == step).sum())
    slot_SN = np.full((steps, slot_N.max() + 1), -1)
    slot_SN[step_N, slot_N] = np.arange(len(index))

    def sort(array_N: np.ndarray) -> np.ndarray:
        """[instance] -> [step, slot], -1 in empty slots."""
        return np.where(slot_SN >= 0, array_N[slot_SN], -1).astype(np.int32)

    by_row = (
        cut(getattr(whole, name)) for name in ("tokens_RT", "position_RT", "segment_RT", "branch_RT", "weight_RT")
    )
    by_instance = (sort(a) for a in (whole.row_N[0] % rows, whole.column_N[0], whole.prefix_N[0], whole.output_N[0]))
    return Batch(*by_row, *by_instance), sort(order_N)
