"""The pure steps: what they sum, what they leave alone, what they emit."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from clusterlm_jax.data.batching import TrainingBatches
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Batch
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import TrainState, course, initial_state
from clusterlm_jax.training.steps import loss_step, output_loss, read_step, sequence_loss, train_step, train_steps

SPEC = GPT2Spec(layers=2, heads=2, hidden_dim=16, positions=32, dropout=0.0)
STEPS = 50


@dataclasses.dataclass
class Bench:
    """A small model, its state, and the batches of an epoch."""

    model: GPT2
    spec: TrainSpec
    state: TrainState
    batches: Batch

    def batch(self, step: int) -> Batch:
        return jax.tree.map(lambda a: a[step], self.batches)


def make_bench(dataset, unit: str = "instance", dropout: float = 0.0) -> Bench:
    model = GPT2(dataclasses.replace(SPEC, dropout=dropout), dataset.vocabulary.size)
    spec = TrainSpec(learning_rate=1e-2)
    return Bench(model, spec, initial_state(model, spec, 0), TrainingBatches(dataset, 12, unit, 1, 0).epoch(1))


@pytest.mark.parametrize("unit", ["instance", "instruction"])
def test_loss_is_that_of_whole_sequences_one_by_one(dataset, unit):
    """Cross-entropy of every next token of every instance; a target or a weight left out would show."""
    bench = make_bench(dataset, unit)
    batch = bench.batch(0)
    found = sequence_loss(bench.model.apply({"params": bench.state.params}, batch), batch)
    loss = tokens = 0
    apply = jax.jit(lambda batch: jax.nn.log_softmax(bench.model.apply({"params": bench.state.params}, batch)))
    for n, (row, column) in enumerate(zip(batch.row_N, batch.column_N, strict=True)):
        same = (batch.segment_RT[row] == batch.segment_RT[row, column]) & (batch.branch_RT[row] == 0)
        sequence = [*batch.tokens_RT[row][same], batch.tokens_RT[row, column], batch.output_N[n]]
        padded = np.zeros((1, SPEC.positions), np.int32)
        padded[0, : len(sequence)] = sequence
        whole = np.ones_like(padded)
        place = np.zeros(1, np.int32)
        positions = np.arange(SPEC.positions)[None]
        log_TV = apply(Batch(padded, positions, whole, 0 * whole, whole, place, place, place, place))[0]
        loss -= sum(log_TV[t, sequence[t + 1]] for t in range(len(sequence) - 1))
        tokens += len(sequence) - 1
    assert int(found.tokens) == tokens
    assert float(found.loss) == pytest.approx(float(loss), rel=1e-5)


def test_scanned_steps_are_steps_one_by_one_and_padding_changes_nothing(dataset):
    """State, loss and the output tokens predicted by the very passes that train, dropout and all."""
    bench = make_bench(dataset, dropout=0.1)
    # An untrained model with a tied head predicts the input token; half of the instances ask for it here.
    tokens_SRT, row_SN, column_SN = bench.batches.tokens_RT, bench.batches.row_N, bench.batches.column_N
    input_SN = tokens_SRT[np.arange(len(row_SN))[:, None], row_SN, column_SN]
    bench.batches = bench.batches._replace(output_N=np.where(np.arange(12) % 2, input_SN, bench.batches.output_N))
    plan = course(0, STEPS)
    chunk = jax.tree.map(lambda a: a[np.array([0, 1, 1, 2])], bench.batches)
    real = np.array([True, True, False, True])
    scanned, metrics = jax.jit(partial(train_steps, bench.model, bench.spec))(plan, bench.state, chunk, real)
    state = bench.state
    step = jax.jit(partial(train_step, bench.model, bench.spec, capture=True))
    losses, right = [], []
    for index in (0, 1, 2):
        state, loss, captured = step(plan, state, bench.batch(index))
        losses.append(float(loss.loss))
        right.append(int((captured.predicted_N == bench.batch(index).output_N).sum()))
    assert int(scanned.step) == 3
    assert all(values[2] == 0 for values in metrics)
    assert metrics.right[real].tolist() == right
    assert metrics.instances[real].tolist() == [12, 12, 12]
    assert 0 < sum(right) < 36  # or the counts say little
    np.testing.assert_allclose(metrics.loss[real], losses, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(scanned), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_captured_states_equal_those_read_when_nothing_is_dropped(dataset):
    """And capturing changes neither the step nor its loss: the shape of a train step that emits activations."""
    bench = make_bench(dataset)
    batch, plan = bench.batch(0), course(0, STEPS)
    step = partial(train_step, bench.model, bench.spec)
    plain_state, plain, nothing = jax.jit(step)(plan, bench.state, batch)
    state, metrics, captured = jax.jit(partial(step, capture=True))(plan, bench.state, batch)
    read = jax.jit(partial(read_step, bench.model))(bench.state.params, batch)
    assert nothing is None
    assert captured.hidden_LND.shape == (SPEC.layers + 2, 12, SPEC.hidden_dim)
    np.testing.assert_allclose(captured.hidden_LND, read.hidden_LND, atol=1e-6)
    np.testing.assert_allclose(captured.loss_N, read.loss_N, atol=1e-6)
    np.testing.assert_allclose(metrics.loss, plain.loss, rtol=1e-6)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(plain_state), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_dropout_follows_seed_and_step_alone(dataset):
    bench = make_bench(dataset, dropout=0.5)
    step = jax.jit(partial(train_step, bench.model, bench.spec))
    losses = [
        float(step(course(seed, STEPS), dataclasses.replace(bench.state, step=jnp.asarray(at)), bench.batch(0))[1].loss)
        for seed, at in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_gradients_are_clipped_and_the_rate_ends_at_zero(dataset):
    """A tiny bound on the norm hardly changes Adam's first update, but it shows in its moments."""
    spec = TrainSpec(max_gradient_norm=1e-3, learning_rate=1e-2, weight_decay=0.0)
    model = GPT2(SPEC, dataset.vocabulary.size)
    state = initial_state(model, spec, 0)
    bench = Bench(model, spec, state, TrainingBatches(dataset, 12, "instance", 1, 0).epoch(1))
    step = jax.jit(partial(train_step, model, spec))
    state, _, _ = step(course(0, 4), state, bench.batch(0))
    moments = optax.tree_utils.tree_get(state.opt_state, "mu")
    assert float(optax.tree.norm(moments)) == pytest.approx(0.1 * 1e-3, rel=1e-3)  # (1 - b1) times the bound
    for _ in range(4):
        before = state.params
        state, _, _ = step(course(0, 4), state, bench.batch(0))
    moved = [jnp.abs(a - b).max() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state.params), strict=True)]
    assert max(moved) == 0  # step 4 of 4: the cosine has reached 0


def test_steps_learn(dataset):
    """Thirty steps on one batch bring the loss well down, or the gradient is not the loss's."""
    bench = make_bench(dataset)
    step, state = jax.jit(partial(train_step, bench.model, bench.spec)), bench.state
    losses = []
    for _ in range(30):
        state, metrics, _ = step(course(0, STEPS), state, bench.batch(0))
        losses.append(float(metrics.loss / metrics.tokens))
    assert losses[-1] < 0.7 * losses[0]


def test_the_output_loss_is_that_of_the_output_tokens(dataset):
    """Of the instances that are there: row -1 marks an empty slot."""
    bench = make_bench(dataset)
    there_N = np.arange(12) < 9
    batch = bench.batch(0)
    batch = batch._replace(row_N=np.where(there_N, batch.row_N, -1))
    read = read_step(bench.model, bench.state.params, batch)
    found = loss_step(bench.model, "output", bench.state.params, batch)
    assert int(found.tokens) == there_N.sum()
    assert float(found.loss) == pytest.approx(float(read.loss_N[there_N].sum()), rel=1e-5)
    assert int(found.instances) == 9
    assert int(found.right) == int((read.predicted_N == batch.output_N)[there_N].sum())


def test_the_output_loss_has_no_targets_in_the_instruction(dataset):
    """Its gradient is 0 except at the input tokens, which predict the outputs; that of whole sequences is not."""
    bench = make_bench(dataset)
    batch = bench.batch(0)
    logits_RTV = bench.model.apply({"params": bench.state.params}, batch)
    elsewhere_RT = np.ones(batch.tokens_RT.shape, bool)
    elsewhere_RT[batch.row_N, batch.column_N] = False
    moved = {
        loss: np.abs(jax.grad(lambda logits, loss=loss: loss(logits, batch).loss)(logits_RTV))[elsewhere_RT].max()
        for loss in (output_loss, sequence_loss)
    }
    assert moved[output_loss] == 0 < moved[sequence_loss]


def test_training_follows_the_loss_of_its_spec(dataset):
    """Other targets in the instructions change the step for whole sequences, but not for outputs alone."""
    bench = make_bench(dataset)
    batch = bench.batch(0)
    other = batch._replace(weight_RT=2 * batch.weight_RT, prefix_N=np.zeros_like(batch.prefix_N))
    for loss in ("output", "sequence"):
        step = jax.jit(partial(train_step, bench.model, dataclasses.replace(bench.spec, loss=loss)))
        (one, metrics, _), (two, _, _) = (step(course(0, STEPS), bench.state, given) for given in (batch, other))
        assert (int(metrics.tokens) == 12) == (loss == "output")
        pairs = zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True)
        assert all(map(np.array_equal, *zip(*pairs, strict=True))) == (loss == "output")
