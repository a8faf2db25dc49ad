"""The epoch loop and its checkpoints."""

from __future__ import annotations

import dataclasses
import itertools
import shutil

import jax
import numpy as np
import pytest

from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Dataset, UserError, layer_names
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import NotANumber, Trainer
from clusterlm_jax.training.spec import TrainSpec
from tests.conftest import SMALL_DATA

SPEC = GPT2Spec(layers=2, heads=2, hidden_dim=16, positions=32, dropout=0.1)
VOCABULARY = 12 + 9 + 2


SLOW = 1e-3  # a rate at which rounding grows little: Adam turns the rounding of a gradient near 0 into a whole step


def make_trainer(data: Dataset | dict[int, Dataset], analysed=(), **train) -> Trainer:
    """A trainer of one dataset with seed 0, or of several by seed."""
    datasets = data if isinstance(data, dict) else {0: data}
    spec = TrainSpec(**{"epochs": 4, "batch_size": 12, "learning_rate": 1e-2, "steps_per_dispatch": 5} | train)
    return Trainer("main", GPT2(SPEC, VOCABULARY), spec, datasets, frozenset(analysed))


def test_epochs_begin_with_the_untrained_model(dataset):
    ends = list(make_trainer(dataset, analysed=(0, 2)).epochs())
    assert [end.epoch for end in ends] == [0, 1, 2, 3, 4]
    assert [bool(end.seeds[0].hidden) for end in ends] == [True, False, True, False, False]
    assert ends[0].seeds[0].metrics["training_loss"] == pytest.approx(np.log(dataset.vocabulary.size), rel=0.02)
    assert ends[4].seeds[0].metrics["training_loss"] < ends[1].seeds[0].metrics["training_loss"]
    for end in ends:
        assert set(end.seeds[0].metrics) == {"training_loss"} | {
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
    done, state, best = Checkpoints(tmp_path / "checkpoints", (0,)).restore_last(jax.eval_shape(again.initial_state))
    assert (done, best) == (2, {0: Best(0, 0, 0.5)})
    for end in again.epochs(state, done):
        assert end.seeds[0].metrics == whole[end.epoch].seeds[0].metrics
    for ours, theirs in zip(end.seeds[0].hidden, whole[4].seeds[0].hidden, strict=True):
        np.testing.assert_array_equal(ours.hidden_LND, theirs.hidden_LND)


def test_divergence_stops_the_run_and_names_the_step(dataset):
    with pytest.raises(NotANumber, match=r"seed 0 is not finite at step \d+ \(epoch \d\)"):
        list(make_trainer(dataset, learning_rate=1e30, max_gradient_norm=1e30).epochs())


def test_best_is_kept_and_later_ones_forgotten_on_resuming(dataset, tmp_path):
    trainer = make_trainer(dataset)
    state = trainer.initial_state()
    checkpoints = Checkpoints(tmp_path, (0,))
    checkpoints.save_best(0, 1, state.params)
    checkpoints.save_last(1, state, {0: Best(1, 10, 0.3)})
    checkpoints.save_best(0, 2, state.params)  # and then killed
    checkpoints.close()
    again = Checkpoints(tmp_path, (0,))
    template = jax.eval_shape(trainer.initial_state)
    assert again.restore_last(template)[0] == 1
    with pytest.raises(UserError, match="no best checkpoint"):
        again.restore_best(0, template.params)
    again.save_best(0, 2, state.params)
    again.close()
    epoch, params = Checkpoints(tmp_path, (0,)).restore_best(0, template.params)
    assert epoch == 2
    jax.tree.map(np.testing.assert_array_equal, params, state.params)


@pytest.mark.parametrize("what", ["state", "progress"])
def test_a_truncated_checkpoint_is_named_and_the_one_before_still_works(dataset, tmp_path, what):
    trainer = make_trainer(dataset)
    state, template = trainer.initial_state(), jax.eval_shape(trainer.initial_state)
    checkpoints = Checkpoints(tmp_path, (0,))
    for epoch in (1, 2):
        checkpoints.save_last(epoch, state, {0: Best(1, 10, 0.3)})
    checkpoints.close()
    newest = tmp_path / "last" / "2"
    damaged = [path for path in (newest / what).rglob("*") if path.is_file()]
    for path in damaged:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(tmp_path, (0,)).restore_last(template)
    shutil.rmtree(newest)
    assert Checkpoints(tmp_path, (0,)).restore_last(template)[0] == 1


def test_nothing_saved_is_nothing_restored(dataset, tmp_path):
    template = jax.eval_shape(make_trainer(dataset).initial_state)
    assert Checkpoints(tmp_path, (0,)).restore_last(template) is None


def hidden_and_metrics(trainer: Trainer, epochs: int) -> dict[int, list]:
    """By seed, the metrics of the epochs and the hidden states of the last."""
    found = {seed: [] for seed in trainer.seeds}
    for end in itertools.islice(trainer.epochs(), epochs + 1):
        for seed_end in end.seeds:
            found[seed_end.seed].append(seed_end)
    return found


@pytest.fixture(scope="module")
def other() -> Dataset:
    """A dataset of another seed, larger than `dataset`."""
    return synthesise(SMALL_DATA, seed=4)


@pytest.fixture(scope="module")
def alone(dataset, other) -> dict[int, list]:
    """Three epochs of each seed, trained alone."""
    trainers = {
        seed: make_trainer({seed: data}, analysed=(3,), learning_rate=SLOW) for seed, data in ((3, dataset), (4, other))
    }
    return {seed: hidden_and_metrics(trainer, epochs=3)[seed] for seed, trainer in trainers.items()}


@pytest.mark.parametrize("axis", ["vmap", "map"])
def test_a_seed_in_company_takes_the_course_it_takes_alone(dataset, other, alone, axis):
    """After three epochs (39 and 42 steps) losses agree to 1e-5 and hidden states, of values up to 3, to 1e-4.

    Steps of padding that were taken, a schedule that ended with the longer seed's, or another's dropout move the states
    by .3 and more.
    """
    assert len(other.splits["training"]) // 12 != len(dataset.splits["training"]) // 12  # steps of padding
    assert len(other.splits["validation"]) != len(dataset.splits["validation"])
    together = hidden_and_metrics(
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
    whole = hidden_and_metrics(make_trainer(data), epochs=4)
    best = {3: Best(1, 12, 0.5), 4: Best(2, 28, 0.25)}
    with Checkpoints(tmp_path, (3, 4)) as checkpoints:
        for end in itertools.islice(make_trainer(data).epochs(), 3):
            checkpoints.save_last(end.epoch, end.state, best)
            for index, seed in enumerate((3, 4)):
                checkpoints.save_best(seed, end.epoch, end.params_of(index))
    again = make_trainer(data)
    template = jax.eval_shape(again.initial_state)
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
    """It is there only where an identity has several outputs for an input, and then forgives what accuracy does not."""
    ordinary = next(iter(make_trainer(dataset).epochs())).seeds[0]
    assert "validation_identity_accuracy" not in ordinary.metrics
    labels = {**dataset.labels, "task": np.zeros_like(dataset.labels["task"])}  # each input has all tasks' outputs
    *_, last = make_trainer(dataclasses.replace(dataset, labels=labels)).epochs()
    metrics = last.seeds[0].metrics
    assert 0 < metrics["validation_accuracy"] < metrics["validation_identity_accuracy"] <= 1


def test_a_run_killed_before_its_first_state_was_whole_begins_again(tmp_path):
    """The best of epoch 0 is on disk, the state of epoch 0 is not: both are saved once more."""
    params = {"weight": np.ones(2, np.float32)}
    with Checkpoints(tmp_path / "checkpoints", (0,)) as checkpoints:
        checkpoints.save_best(0, 0, params)
    with Checkpoints(tmp_path / "checkpoints", (0,)) as checkpoints:
        assert checkpoints.restore_last(params) is None
        checkpoints.save_best(0, 0, {"weight": 2 * params["weight"]})
    with Checkpoints(tmp_path / "checkpoints", (0,)) as checkpoints:
        np.testing.assert_array_equal(checkpoints.restore_best(0, params)[1]["weight"], [2, 2])
