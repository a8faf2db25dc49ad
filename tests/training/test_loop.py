"""The epoch loop: what it yields, alone, resumed and with several seeds."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.records import layer_names
from clusterlm_jax.training import loop
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import NotANumber, Trainer, initial_states
from tests.training.trainers import make_trainer

SLOW = 1e-3  # a learning rate at which rounding grows little: where a gradient is near 0, Adam makes a step of rounding


def test_epochs_begin_with_the_untrained_model(dataset):
    ends = list(make_trainer(dataset, analysed=(0, 2)).epochs())
    assert [end.epoch for end in ends] == [0, 1, 2, 3, 4]
    assert [bool(end.seeds[0].hidden) for end in ends] == [True, False, True, False, False]
    assert ends[0].seeds[0].metrics["training_loss"] == pytest.approx(np.log(dataset.vocabulary.size), rel=0.02)
    assert ends[4].seeds[0].metrics["training_loss"] < ends[1].seeds[0].metrics["training_loss"]
    for end in ends:
        others = {"training_loss", "training_accuracy", "hard_leaving_accuracy", "hard_matching_accuracy"}
        assert set(end.seeds[0].metrics) == others | {
            f"{split}_{what}"
            for split in ("training_subset", "validation")
            for what in ("loss", "sequence_loss", "accuracy")
        }


def test_hidden_states_come_with_their_labels(dataset):
    end = next(iter(make_trainer(dataset, analysed=(0,)).epochs()))
    assert [states.split for states in end.seeds[0].hidden] == ["training_subset", "validation", "training"]
    for states in end.seeds[0].hidden:
        index = dataset.splits[states.split]
        assert states.layers == layer_names(2)
        assert states.hidden_LND.shape == (4, len(index), 16)
        np.testing.assert_array_equal(states.labels["task"], dataset.labels["task"][index])
        np.testing.assert_array_equal(states.labels["position"], dataset.length_N[index] - 2)
        words_ND = np.asarray(end.params_of(0)["word_embedding"]["embedding"])[dataset.labels["input"][index]]
        np.testing.assert_array_equal(states.hidden_LND[0], words_ND)


def test_which_answers_are_right_comes_with_the_states(dataset):
    *_, end = make_trainer(dataset, epochs=3, analysed=(3,)).epochs()
    for states in end.seeds[0].hidden[:2]:
        accuracy = end.seeds[0].metrics[f"{states.split}_accuracy"]
        assert set(states.labels["right"].tolist()) <= {0, 1}
        assert states.labels["right"].mean() == pytest.approx(accuracy)


def test_a_resumed_run_equals_an_uninterrupted_one(dataset, tmp_path):
    """Bit by bit, on one CPU: state, metrics and hidden states; a lost optimiser moment or dropout key shows."""
    whole = {end.epoch: end for end in make_trainer(dataset, analysed=(4,)).epochs()}
    trainer = make_trainer(dataset, analysed=(4,))
    checkpoints = Checkpoints(tmp_path / "checkpoints", (0,))
    for end in trainer.epochs():
        checkpoints.save_last(end.epoch, end.state, {0: Best(0, 0, 0.5)})
        if end.epoch == 2:
            break
    checkpoints.close()

    again = make_trainer(dataset, analysed=(4,))
    template = jax.eval_shape(partial(initial_states, again.phase))
    done, state, best = Checkpoints(tmp_path / "checkpoints", (0,)).restore_last(template)
    assert (done, best) == (2, {0: Best(0, 0, 0.5)})
    for end in again.epochs(state, done):
        assert end.seeds[0].metrics == whole[end.epoch].seeds[0].metrics
    for ours, theirs in zip(end.seeds[0].hidden, whole[4].seeds[0].hidden, strict=True):
        np.testing.assert_array_equal(ours.hidden_LND, theirs.hidden_LND)


def test_training_accuracy_is_that_of_the_passes_that_train(dataset):
    """At a rate of almost 0 and without dropout, the passes of an epoch read what the untrained model reads.

    An epoch leaves out the few instances that fill no batch, so it may differ from the whole split by their number.
    """
    trainer = make_trainer(dataset, analysed=(), learning_rate=1e-12, epochs=1)
    phase = trainer.phase
    model = dataclasses.replace(phase.model, spec=dataclasses.replace(phase.model.spec, dropout=0.0))
    trainer = Trainer(dataclasses.replace(phase, model=model))
    untrained, first = trainer.epochs()
    whole = trainer._reader(first.state.params, loop.REFERENCE)[0].accuracy
    left_out = len(dataset.splits["training"]) - 12 * trainer.batches[0].steps
    assert untrained.seeds[0].metrics["training_accuracy"] == first.seeds[0].metrics["training_accuracy"]
    assert first.seeds[0].metrics["training_accuracy"] == pytest.approx(
        whole, abs=left_out / 12 / trainer.batches[0].steps
    )
    assert whole > 0


def test_the_next_epoch_is_on_the_device_before_this_one_is_waited_for(dataset, monkeypatch):
    """Also a state that is held stays as it was. Breaks if the device waits for the host, or if a state is donated."""
    trainer, order = make_trainer(dataset, epochs=3), []
    whole = list(make_trainer(dataset, epochs=3).epochs())
    run, end = trainer._steps, trainer._end
    monkeypatch.setattr(trainer, "_steps", lambda *given: order.append("given") or run(*given))
    monkeypatch.setattr(trainer, "_end", lambda dispatched: order.append(dispatched.epoch) or end(dispatched))
    ends = list(trainer.epochs())
    assert order == [0, "given", "given", 1, "given", 2, 3]
    for ours, theirs in zip(ends, whole, strict=True):
        assert ours.seeds[0].metrics == theirs.seeds[0].metrics
        assert int(ours.state.step[0]) == ours.seeds[0].step


def test_divergence_stops_the_run_and_names_the_step(dataset):
    with pytest.raises(NotANumber, match=r"seed 0 is not finite at step \d+ \(epoch \d\)"):
        list(make_trainer(dataset, learning_rate=1e30, max_gradient_norm=1e30).epochs())


def ends_of(trainer: Trainer, epochs: int) -> dict[int, list[loop.SeedEnd]]:
    """By seed, its results of the first epochs."""
    found = {seed: [] for seed in trainer.phase.seeds}
    for end in itertools.islice(trainer.epochs(), epochs + 1):
        for seed_end in end.seeds:
            found[seed_end.seed].append(seed_end)
    return found


@pytest.fixture(scope="module")
def alone(dataset, other) -> dict[int, list[loop.SeedEnd]]:
    """Three epochs of each seed, trained alone."""
    trainers = {
        seed: make_trainer({seed: data}, analysed=(3,), learning_rate=SLOW) for seed, data in ((3, dataset), (4, other))
    }
    return {seed: ends_of(trainer, epochs=3)[seed] for seed, trainer in trainers.items()}


@pytest.mark.parametrize("axis", ["vmap", "map"])
def test_training_seeds_together_reproduces_the_losses_of_each(dataset, other, alone, axis):
    """After three epochs (39 and 42 steps) losses agree to 1e-5 and hidden states, of values up to 3, to 1e-4.

    A step of padding that counted, a learning rate that followed the longer seed, or the dropout of the other seed
    would move the states by .3 and more.
    """
    assert len(other.splits["training"]) // 12 != len(dataset.splits["training"]) // 12  # so one has steps of padding
    assert len(other.splits["validation"]) != len(dataset.splits["validation"])
    together = ends_of(
        make_trainer({3: dataset, 4: other}, analysed=(3,), seed_axis=axis, learning_rate=SLOW), epochs=3
    )
    for seed in (3, 4):
        for ours, theirs in zip(together[seed], alone[seed], strict=True):
            assert ours.step == theirs.step
            assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-5)
        for ours, theirs in zip(together[seed][-1].hidden, alone[seed][-1].hidden, strict=True):
            assert (ours.seed, ours.split) == (seed, theirs.split)
            np.testing.assert_allclose(ours.hidden_LND, theirs.hidden_LND, atol=1e-4)
            np.testing.assert_array_equal(ours.labels["task"], theirs.labels["task"])
    assert together[3][-1].step != together[4][-1].step


def test_seeds_resume_together(dataset, other, tmp_path):
    """The states of both seeds and the best epoch of each come back."""
    data = {3: dataset, 4: other}
    whole = ends_of(make_trainer(data), epochs=4)
    best = {3: Best(1, 12, 0.5), 4: Best(2, 28, 0.25)}
    with Checkpoints(tmp_path, (3, 4)) as checkpoints:
        for end in itertools.islice(make_trainer(data).epochs(), 3):
            checkpoints.save_last(end.epoch, end.state, best)
            for index, seed in enumerate((3, 4)):
                checkpoints.save_best(seed, end.epoch, end.params_of(index))
    again = make_trainer(data)
    template = jax.eval_shape(partial(initial_states, again.phase))
    restored = Checkpoints(tmp_path, (3, 4))
    done, state, best_again = restored.restore_last(template)
    assert (done, best_again) == (2, best)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), template.params)
    for index, seed in enumerate((3, 4)):
        epoch, params = restored.restore_best(seed, one)
        assert epoch == 2
        jax.tree.map(np.testing.assert_array_equal, params, jax.tree.map(lambda a, i=index: a[i], state.params))
    for end in again.epochs(state, done):
        for seed_end in end.seeds:
            assert seed_end.metrics == whole[seed_end.seed][end.epoch].metrics


def test_identity_accuracy_counts_any_output_of_the_identity(dataset):
    """The metric exists only where an identity has several outputs for an input; it is then above the accuracy."""
    ordinary = next(iter(make_trainer(dataset).epochs())).seeds[0]
    assert "validation_identity_accuracy" not in ordinary.metrics
    labels = {
        **dataset.labels,
        "task": np.zeros_like(dataset.labels["task"]),
    }  # one identity: each input has the outputs of all tasks
    *_, last = make_trainer(dataclasses.replace(dataset, labels=labels)).epochs()
    metrics = last.seeds[0].metrics
    assert 0 < metrics["validation_accuracy"] < metrics["validation_identity_accuracy"] <= 1
