"""Packed batches hold the right instances once each, and little padding."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from clusterlm_jax.data.batching import UNITS, TrainingBatches, align, first_fit, reading_batches
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from tests.conftest import SMALL_DATA


def read_back(batch, step, dataset):
    """The sequences of a step as the model sees them: [instruction..., input, output], read from the batch alone."""
    for n, (row, column) in enumerate(zip(batch.row_N[step], batch.column_N[step], strict=True)):
        if row < 0:
            continue
        same = (batch.segment_RT[step, row] == batch.segment_RT[step, row, column]) & (batch.branch_RT[step, row] == 0)
        assert (batch.position_RT[step, row][same] == np.arange(same.sum())).all()
        assert batch.position_RT[step, row, column] == same.sum()
        assert np.flatnonzero(same)[-1] == batch.prefix_N[step, n]
        tokens = batch.tokens_RT[step, row]
        yield n, (*tokens[same].tolist(), int(tokens[column]), int(batch.output_N[step, n]))


def sequences(dataset, index):
    return [tuple(dataset.tokens_NT[i, : dataset.length_N[i]].tolist()) for i in index]


@pytest.mark.parametrize("unit", UNITS)
def test_an_epoch_is_every_training_instance_at_most_once(dataset, unit):
    batches = TrainingBatches(dataset, 12, unit, epochs=3, seed=0)
    batch = batches.epoch(2)
    found = [sequence for step in range(batches.steps) for _, sequence in read_back(batch, step, dataset)]
    expected = sequences(dataset, dataset.splits["training"])
    assert len(found) == batches.steps * 12
    assert len(expected) - len(found) < 12
    assert len(set(found)) == len(found)
    assert set(found) <= set(expected)
    assert (batch.segment_RT > 0).sum() == (batch.tokens_RT > 0).sum()


@pytest.mark.parametrize("unit", UNITS)
def test_weights_count_every_symbol_of_every_instance(dataset, unit):
    batch = TrainingBatches(dataset, 12, unit, epochs=1, seed=0).epoch(1)
    for step in range(len(batch.tokens_RT)):
        symbols = sum(len(sequence) - 2 for _, sequence in read_back(batch, step, dataset))
        assert batch.weight_RT[step].sum() == symbols


@pytest.mark.parametrize(
    ("unit", "asked", "really"), [("instance", 13, 13), ("instruction", 13, 12), ("instruction", 1, 3)]
)
def test_a_batch_says_how_many_instances_it_has(dataset, unit, asked, really):
    """With three mappings an instruction is three instances, and a batch has whole instructions."""
    batches = TrainingBatches(dataset, asked, unit, epochs=1, seed=0)
    assert batches.instances == really == batches.epoch(1).output_N.shape[1]


def test_epochs_differ_and_repeat(dataset):
    batches = TrainingBatches(dataset, 12, "instance", epochs=4, seed=0)
    again = TrainingBatches(dataset, 12, "instance", epochs=4, seed=0)
    other = TrainingBatches(dataset, 12, "instance", epochs=4, seed=1)
    np.testing.assert_array_equal(batches.epoch(3).tokens_RT, again.epoch(3).tokens_RT)
    assert (batches.epoch(3).output_N != batches.epoch(4).output_N).any()
    assert (batches.epoch(3).output_N != other.epoch(3).output_N).any()
    assert batches.epoch(3).tokens_RT.shape == batches.epoch(4).tokens_RT.shape


def test_little_is_padding():
    """With one padded instance in each row, 61% of the batches of the paper's data would be padding."""
    dataset = synthesise(DataSpec(), 0)
    batches = TrainingBatches(dataset, 32, "instance", epochs=3, seed=0)
    share = float((batches.epoch(1).segment_RT == 0).mean())
    assert share < 0.12
    assert batches.padding_share == pytest.approx(share, abs=0.01)


def test_reading_visits_each_instance_once_and_shares_instructions(dataset):
    index = dataset.splits["training"]
    batch, instance_SN = reading_batches(dataset, index, rows=4)
    found = {}
    for step in range(len(instance_SN)):
        for n, sequence in read_back(batch, step, dataset):
            found[int(instance_SN[step, n])] = sequence
    assert [found[i] for i in range(len(index))] == sequences(dataset, index)
    assert len(instance_SN) > 1
    distinct = {sequence[:-2] for sequence in found.values()}
    assert (batch.tokens_RT > 0).sum() == sum(map(len, distinct)) + len(index)


def test_first_fit_fills_rows_without_overlap(rng):
    length_SG = rng.integers(1, 20, (5, 40))
    row_SG, column_SG = first_fit(length_SG, 24)
    for step in range(5):
        cells = [
            (row_SG[step, g], column)
            for g in range(40)
            for column in range(column_SG[step, g], column_SG[step, g] + length_SG[step, g])
        ]
        assert len(set(cells)) == length_SG[step].sum()
        assert max(column for _, column in cells) < 24
        # First fit leaves at most one row less than half full.
        filled = np.bincount([row for row, _ in cells])
        assert (filled < 12).sum() <= 1


def test_aligned_batches_hold_what_each_held_and_nothing_more(dataset):
    other = synthesise(dataclasses.replace(SMALL_DATA, longest_instruction=12), seed=4)
    datasets = (dataset, other)
    alone = [TrainingBatches(data, 12, "instance", 1, 0).epoch(1) for data in datasets]
    assert alone[0].tokens_RT.shape != alone[1].tokens_RT.shape
    together = align(alone)
    for seed, data in enumerate(datasets):
        batch = jax.tree.map(lambda a, seed=seed: a[seed], together)
        for step in range(len(batch.tokens_RT)):
            expected = list(read_back(alone[seed], step, data)) if step < len(alone[seed].tokens_RT) else []
            assert list(read_back(batch, step, data)) == expected
        assert (batch.tokens_RT > 0).sum() == (alone[seed].tokens_RT > 0).sum()
        assert batch.weight_RT.sum() == alone[seed].weight_RT.sum()
