"""Checkpoints: what is saved comes back; what is damaged or too late does not."""

from __future__ import annotations

import shutil
from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import initial_states
from tests.training.trainers import make_trainer


def test_best_is_kept_and_later_ones_forgotten_on_resuming(dataset, tmp_path):
    initial = partial(initial_states, make_trainer(dataset).phase)
    state, template = initial(), jax.eval_shape(initial)
    checkpoints = Checkpoints(tmp_path, (0,))
    checkpoints.save_best(0, 1, state.params)
    checkpoints.save_last(1, state, {0: Best(1, 10, 0.3)})
    checkpoints.save_best(0, 2, state.params)  # and then killed
    checkpoints.close()
    again = Checkpoints(tmp_path, (0,))
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
    initial = partial(initial_states, make_trainer(dataset).phase)
    state, template = initial(), jax.eval_shape(initial)
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
    template = jax.eval_shape(partial(initial_states, make_trainer(dataset).phase))
    assert Checkpoints(tmp_path, (0,)).restore_last(template) is None


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
