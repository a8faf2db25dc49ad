"""The epoch loop and its checkpoints."""

from __future__ import annotations

import shutil

import jax
import numpy as np
import pytest

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError, layer_names
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import NotANumber, Trainer
from clusterlm_jax.training.spec import TrainSpec

SPEC = GPT2Spec(layers=2, heads=2, hidden_dim=16, positions=32, dropout=0.1)


def make_trainer(dataset, analysed=(), **train) -> Trainer:
    spec = TrainSpec(**{"epochs": 4, "batch_size": 12, "learning_rate": 1e-2, "steps_per_dispatch": 5} | train)
    return Trainer("main", GPT2(SPEC, dataset.vocabulary.size), spec, dataset, 0, frozenset(analysed))


def test_epochs_begin_with_the_untrained_model(dataset):
    ends = list(make_trainer(dataset, analysed=(0, 2)).epochs())
    assert [end.epoch for end in ends] == [0, 1, 2, 3, 4]
    assert [bool(end.hidden) for end in ends] == [True, False, True, False, False]
    assert ends[0].metrics["training_loss"] == pytest.approx(np.log(dataset.vocabulary.size), rel=0.02)
    assert ends[4].metrics["training_loss"] < ends[1].metrics["training_loss"]
    for end in ends:
        assert set(end.metrics) == {"training_loss"} | {
            f"{split}_{what}" for split in ("training_subset", "validation") for what in ("loss", "accuracy")
        }


def test_hidden_states_come_with_their_labels(dataset):
    end = next(iter(make_trainer(dataset, analysed=(0,)).epochs()))
    assert [states.split for states in end.hidden] == ["training_subset", "validation", "training"]
    for states in end.hidden:
        index = dataset.splits[states.split]
        assert states.layers == layer_names(2)
        assert states.hidden_LND.shape == (4, len(index), 16)
        np.testing.assert_array_equal(states.labels["task"], dataset.labels["task"][index])
        np.testing.assert_array_equal(states.labels["position"], dataset.length_N[index] - 2)
        words_ND = np.asarray(end.state.params["word_embedding"]["embedding"])[dataset.labels["input"][index]]
        np.testing.assert_array_equal(states.hidden_LND[0], words_ND)


def test_a_resumed_run_equals_an_uninterrupted_one(dataset, tmp_path):
    """Bit by bit, on one CPU: state, metrics and hidden states; a lost optimiser moment or dropout key shows."""
    whole = {end.epoch: end for end in make_trainer(dataset, analysed=(4,)).epochs()}
    trainer = make_trainer(dataset, analysed=(4,))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for end in trainer.epochs():
        checkpoints.save_last(end.epoch, end.state, Best(0, 0, 0.5))
        if end.epoch == 2:
            break
    checkpoints.close()

    again = make_trainer(dataset, analysed=(4,))
    done, state, best = Checkpoints(tmp_path / "checkpoints").restore_last(jax.eval_shape(again.initial_state))
    assert (done, best) == (2, Best(0, 0, 0.5))
    for end in again.epochs(state, done):
        assert end.metrics == whole[end.epoch].metrics
    for ours, theirs in zip(end.hidden, whole[4].hidden, strict=True):
        np.testing.assert_array_equal(ours.hidden_LND, theirs.hidden_LND)


def test_divergence_stops_the_run_and_names_the_step(dataset):
    with pytest.raises(NotANumber, match=r"not finite at step \d+ \(epoch \d\)"):
        list(make_trainer(dataset, learning_rate=1e30, max_gradient_norm=1e30).epochs())


def test_best_is_kept_and_later_ones_forgotten_on_resuming(dataset, tmp_path):
    trainer = make_trainer(dataset)
    state = trainer.initial_state()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(1, state.params)
    checkpoints.save_last(1, state, Best(1, 10, 0.3))
    checkpoints.save_best(2, state.params)  # and then killed
    checkpoints.close()
    again = Checkpoints(tmp_path)
    template = jax.eval_shape(trainer.initial_state)
    assert again.restore_last(template)[0] == 1
    with pytest.raises(UserError, match="no best checkpoint"):
        again.restore_best(template.params)
    again.save_best(2, state.params)
    again.close()
    epoch, params = Checkpoints(tmp_path).restore_best(template.params)
    assert epoch == 2
    jax.tree.map(np.testing.assert_array_equal, params, state.params)


@pytest.mark.parametrize("what", ["state", "progress"])
def test_a_truncated_checkpoint_is_named_and_the_one_before_still_works(dataset, tmp_path, what):
    trainer = make_trainer(dataset)
    state, template = trainer.initial_state(), jax.eval_shape(trainer.initial_state)
    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2):
        checkpoints.save_last(epoch, state, Best(1, 10, 0.3))
    checkpoints.close()
    newest = tmp_path / "last" / "2"
    damaged = [path for path in (newest / what).rglob("*") if path.is_file()]
    for path in damaged:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(tmp_path).restore_last(template)
    shutil.rmtree(newest)
    assert Checkpoints(tmp_path).restore_last(template)[0] == 1


def test_nothing_saved_is_nothing_restored(dataset, tmp_path):
    template = jax.eval_shape(make_trainer(dataset).initial_state)
    assert Checkpoints(tmp_path).restore_last(template) is None
