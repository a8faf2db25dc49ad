"""Checkpoints: what is saved comes back; what is damaged or too late does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.training.checkpoints import Best, Checkpoints, sum_of
from clusterlm_jax.training.loop import initial_states
from clusterlm_jax.training.state import TrainState
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


def saved(tmp_path: Path, epochs: tuple[int, ...]) -> TrainState:
    """A small state, saved at each of these epochs, and the parameters of the last one as the best; the state."""
    params = {"weight": jnp.arange(4096, dtype=jnp.float32)}
    state = TrainState(step=jnp.int32(7), params=params, opt_state={"mean": -params["weight"]})
    with Checkpoints(tmp_path, (0,)) as checkpoints:
        for epoch in epochs:
            checkpoints.save_last(epoch, state, {0: Best(1, 10, 0.3)})
        checkpoints.save_best(0, epochs[-1], params)
    return state


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit in the middle. orbax restores such a file without a word where it is in the values of an array."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def damaged(checkpoint: Path, damage: Callable[[Path], None], largest: bool = False) -> None:
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.suffix != ".txt"]  # a text says "done"
    files.sort(key=lambda path: path.stat().st_size)
    for path in files[-1:] if largest else files:
        damage(path)


@pytest.mark.parametrize(
    ("item", "damage"), [("state", truncate), ("progress", truncate), ("state", flip), ("progress", flip)]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_takes_its_place(tmp_path, capsys, item, damage):
    """Breaks if orbax alone is trusted with a flipped bit."""
    state = saved(tmp_path, (1, 2))
    damaged(tmp_path / "last" / "2" / item, damage, largest=damage is flip)
    with Checkpoints(tmp_path, (0,)) as checkpoints:
        epoch, restored, best = checkpoints.restore_last(state)
        assert (epoch, best) == (1, {}), "the best epoch, 2, is forgotten, and 1 is on the disk no more"
        jax.tree.map(np.testing.assert_array_equal, restored, state)
        told = capsys.readouterr().err
        assert told.startswith(f"clusterlm_jax: The checkpoint {tmp_path}/last/2 cannot be read (")
        assert told.endswith("); it is deleted, and epoch 1 is the last one now.\n")
        checkpoints.save_last(2, state, best)
    assert Checkpoints(tmp_path, (0,)).restore_last(state)[0] == 2


def test_without_a_whole_checkpoint_nothing_is_deleted(tmp_path):
    state = saved(tmp_path, (1, 2))
    damaged(tmp_path / "last", truncate)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=rf"last/2 cannot be read .*, nor an earlier one: delete {tmp_path} to train"):
        Checkpoints(tmp_path, (0,)).restore_last(state)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_damaged_parameters_of_the_best_epoch_are_named(tmp_path):
    state = saved(tmp_path, (1,))
    damaged(tmp_path / "best" / "seed=0" / "1" / "params", flip, largest=True)
    with pytest.raises(UserError, match=r"best/seed=0/1 cannot be read \(its numbers are not .*: delete .* again\."):
        Checkpoints(tmp_path, (0,)).restore_best(0, state.params)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path):
    """It has no sum beside it; beside the parameters of a best epoch there was nothing at all."""
    state = saved(tmp_path, (1,))
    shutil.rmtree(tmp_path / "best" / "seed=0" / "1" / "progress")
    (progress,) = (tmp_path / "last" / "1" / "progress").glob("metadata")
    progress.write_text(
        json.dumps({key: value for key, value in json.loads(progress.read_text()).items() if key != "sum"})
    )
    with Checkpoints(tmp_path, (0,)) as checkpoints:
        jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_last(state)[1], state)
        jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_best(0, state.params)[1], state.params)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_every_bit_of_every_type_counts(dtype):
    values = jnp.arange(1, 9).astype(dtype)
    raw = np.asarray(values).view(np.uint8)
    for bit in range(8 * len(raw)):
        changed = raw.copy()
        changed[bit // 8] ^= 1 << bit % 8
        assert sum_of([changed.view(np.asarray(values).dtype)], {}) != sum_of([values], {})


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
