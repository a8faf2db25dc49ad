"""Reading a split: every instance of every seed gets its own answer, wherever it stood in a batch."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from clusterlm_jax.data import surface
from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.training import reading
from clusterlm_jax.training.loop import stack
from clusterlm_jax.training.reading import Reader, answerer
from tests.training.trainers import SPEC, VOCABULARY


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Several batches a split, and a last one with slots of padding."""
    monkeypatch.setattr(reading, "ROWS", 3)


@pytest.mark.parametrize("axis", ["map", "vmap"])
@pytest.mark.parametrize("split", ["training", "validation"])
def test_answers_come_in_the_order_of_the_split(dataset, other, split, axis):
    """The answer is the input token read off the batch, plus a number of the seed's own."""

    def answer(number, batch):
        return {"token": batch.tokens_RT[batch.row_N, batch.column_N] + number, "output": batch.output_N}

    answers = answerer(answer, (dataset, other), split, axis)(np.array([100, 200]))
    for data, number, found in zip((dataset, other), (100, 200), answers, strict=True):
        index = data.splits[split]
        np.testing.assert_array_equal(found["token"], data.labels["input"][index] + number)
        np.testing.assert_array_equal(found["output"], data.labels["output"][index])


def test_a_reading_does_not_depend_on_the_size_of_its_batches(dataset, other, monkeypatch):
    model = GPT2(SPEC, VOCABULARY)
    params = stack([initial_params(model, jax.random.key(seed)) for seed in (0, 1)])
    in_small_batches = Reader(model, (dataset, other), "map")(params, "validation")
    monkeypatch.setattr(reading, "ROWS", 1000)
    at_once = Reader(model, (dataset, other), "map")(params, "validation")
    for small, whole in zip(in_small_batches, at_once, strict=True):
        np.testing.assert_allclose(small.hidden_LND, whole.hidden_LND, atol=1e-6)
        assert small.loss == pytest.approx(whole.loss, rel=1e-6)
        assert small.sequence_loss == pytest.approx(whole.sequence_loss, rel=1e-6)
        assert small.accuracy == whole.accuracy
        np.testing.assert_array_equal(small.right_N, whole.right_N)


def test_hard_examples_of_each_kind_have_an_accuracy_of_their_own(dataset):
    """Every second kind is answered right. Breaks when instances that are not hard are counted."""
    subset = dataset.splits["training_subset"]
    columns = surface.columns(dataset, subset)
    hard_N, matching_N = columns["original"] >= 0, columns["matching"] == 1
    assert 0 < matching_N.sum() < hard_N.sum() < len(subset)
    for kind_N, expected in ((matching_N, (0.0, 1.0)), (hard_N & ~matching_N, (1.0, 0.0))):
        predicted_N = np.where(kind_N, columns["output"], -1)
        accuracies = reading._hard_accuracies(dataset, "training_subset", predicted_N)
        assert accuracies == dict(zip(("hard_leaving", "hard_matching"), expected, strict=True))
    assert reading._hard_accuracies(dataset, "validation", np.zeros(len(dataset.splits["validation"]))) == {}
