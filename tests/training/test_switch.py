"""Switches learn from their examples; frozen parameters do not change."""

from __future__ import annotations

import dataclasses
import functools
from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.models.heads import HEAD, Switch, untied
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import Trainer, initial_states, stack
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.spec import FinetuneSpec, SwitchSpec
from clusterlm_jax.training.state import path_of
from clusterlm_jax.training.switch import train_switch

SPEC = SwitchSpec(steps=300, learning_rate=1e-2)
MODEL = GPT2Spec(layers=1, heads=2, hidden_dim=16, positions=32, dropout=0.1)


def clouds(rng: np.random.Generator, sources: int, others: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds of states, and which of them belong to source tasks."""
    source_N = np.arange(sources + others) < sources
    return rng.normal(size=(len(source_N), 4)).astype(np.float32) + 0.8 * source_N[:, None].astype(np.float32), source_N


@functools.cache
def trained(hidden_layers: int):
    return jax.jit(partial(train_switch, Switch(hidden_layers), SPEC))


def train(hidden_layers: int, state_ND: np.ndarray, source_N: np.ndarray, there_N: np.ndarray | None = None, seed=0):
    there_N = np.ones(len(source_N), bool) if there_N is None else there_N
    return Switch(hidden_layers), trained(hidden_layers)(jax.random.key(seed), state_ND, source_N, there_N)


@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_a_switch_learns_what_its_kind_can(rng, hidden_layers):
    """Both kinds separate two clouds; only the one with hidden layers learns the exclusive or of two signs."""
    state_ND, source_N = clouds(rng, 100, 100)
    switch, params = train(hidden_layers, 3 * state_ND, source_N)
    assert (np.asarray(switch.decide(params, 3 * state_ND)) == source_N).mean() > 0.75
    state_ND = rng.normal(size=(200, 4)).astype(np.float32)
    source_N = (state_ND[:, 0] > 0) ^ (state_ND[:, 1] > 0)
    switch, params = train(hidden_layers, state_ND, source_N)
    right = (np.asarray(switch.decide(params, state_ND)) == source_N).mean()
    assert right > 0.9 if hidden_layers else right < 0.7


def test_each_class_has_half_the_weight(rng):
    """Without the balance, 20 times as many source instances would switch on most of the others too."""
    state_ND, source_N = clouds(rng, 400, 20)
    switch, params = train(0, state_ND, source_N)
    on_N = np.asarray(switch.decide(params, state_ND))
    assert abs(on_N[source_N].mean() - (1 - on_N[~source_N].mean())) < 0.2


@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_padding_changes_nothing(rng, hidden_layers):
    """Whatever its states and labels; and to 2%, which is rounding over 300 steps, as if it were not there."""
    state_ND, source_N = clouds(rng, 30, 30)
    there_N = np.arange(60) % 3 > 0
    _, masked = train(hidden_layers, state_ND, source_N, there_N)
    garbage_ND = np.where(there_N[:, None], state_ND, np.float32(7))
    _, other = train(hidden_layers, garbage_ND, source_N ^ ~there_N, there_N)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), masked, other)
    _, alone = train(hidden_layers, state_ND[there_N], source_N[there_N])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0.02, atol=0.02), masked, alone)


def test_a_switch_follows_from_its_seed(rng):
    state_ND, source_N = clouds(rng, 10, 10)
    first, again, other = (jax.tree.leaves(train(2, state_ND, source_N, seed=seed)[1]) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


@pytest.fixture
def base(dataset) -> tuple[GPT2, dict]:
    model = GPT2(MODEL, dataset.vocabulary.size)
    return dataclasses.replace(model, untied=True), stack([untied(initial_params(model, jax.random.key(0)))])


def make_trainer(dataset, base, trainable: str) -> Trainer:
    model, params = base
    spec = FinetuneSpec(epochs=3, batch_size=12, learning_rate=1e-2)
    return Trainer(Phase("finetune", model, spec, {0: dataset}, initial=params, trainable=trainable))


def changed(before, after) -> set[str]:
    """Paths of the parameters that are not bit by bit what they were."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {path_of(path) for (path, old), new in pairs if not np.array_equal(old, new)}


def test_direct_fine_tuning_changes_every_parameter(dataset, base):
    everything = {path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(base[1])}
    *_, end = make_trainer(dataset, base, "").epochs()
    assert changed(base[1], end.state.params) == everything


def test_head_tuning_changes_the_head_alone_also_after_resuming(dataset, base, tmp_path):
    """Weight decay, clipping or a moment that reached a frozen parameter would change its bits. A moment of the head
    that the checkpoint lost would change the head."""
    states = {}
    with Checkpoints(tmp_path, (0,)) as checkpoints:
        for end in make_trainer(dataset, base, HEAD).epochs():
            states[end.epoch] = jax.device_get(end.state.params)
            assert changed(base[1], states[end.epoch]) == ({HEAD} if end.epoch else set())
            if end.epoch == 1:
                checkpoints.save_last(end.epoch, end.state, {0: Best(0, 0, 0.5)})
    again = make_trainer(dataset, base, HEAD)
    with Checkpoints(tmp_path, (0,)) as checkpoints:
        done, state, _ = checkpoints.restore_last(jax.eval_shape(partial(initial_states, again.phase)))
    *_, last = again.epochs(state, done)
    assert changed(states[1], states[3]) == {HEAD}
    assert not changed(states[3], last.state.params)
