"""Untied heads and switches, compared with their parts computed by hand."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.data.batching import reading_batches
from clusterlm_jax.models import heads
from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.models.heads import HEAD, Centroids, Switch, untied
from clusterlm_jax.models.sites import HIDDEN
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Batch

SPEC = GPT2Spec(layers=2, heads=2, hidden_dim=16, positions=32, dropout=0.2, initial_scale=0.5)
LAYERS = ("0", "1", "2", "final_norm")


@dataclasses.dataclass
class Bench:
    """A tied model, its parameters, and a batch of validation instances."""

    model: GPT2
    params: dict
    batch: Batch

    @property
    def without_tie(self) -> GPT2:
        return dataclasses.replace(self.model, untied=True)

    def states(self, layer: str) -> np.ndarray:
        _, sown = self.model.apply({"params": self.params}, self.batch, mutable=[HIDDEN])
        return np.asarray(sown[HIDDEN][f"layer_{layer}"])


@pytest.fixture
def bench(dataset) -> Bench:
    model = GPT2(SPEC, dataset.vocabulary.size)
    batches, _ = reading_batches(dataset, dataset.splits["validation"], rows=64)
    return Bench(model, initial_params(model, jax.random.key(0)), jax.tree.map(lambda a: a[0], batches))


def test_an_untied_head_computes_what_the_tied_one_did(bench):
    """And it is a copy: changing the head leaves the word embedding alone, and the other way round."""
    params = untied(bench.params)
    before = bench.model.apply({"params": bench.params}, bench.batch)
    np.testing.assert_allclose(bench.without_tie.apply({"params": params}, bench.batch), before, atol=1e-6)
    assert jax.tree.structure(params) == jax.tree.structure(initial_params(bench.without_tie, jax.random.key(1)))

    def answers(params):
        return bench.without_tie.apply({"params": params}, bench.batch)

    zero = answers({**params, HEAD: 0 * params[HEAD]})
    assert not zero.any()
    embedding = {"embedding": 2 * params["word_embedding"]["embedding"]}
    assert not np.allclose(answers({**params, "word_embedding": embedding}), before, atol=1e-3)


@pytest.mark.parametrize("layer", range(len(LAYERS)))
@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_one_jitted_function_answers_as_its_parts_do_by_hand(bench, hidden_layers, layer, rng):
    """By hand, in numpy: the trunk, then the switch on a layer's states, then either head on the final states.

    A swapped head, a switch that reads another layer, or the state of another token would give other answers.
    """
    width, switch = SPEC.hidden_dim, Switch(hidden_layers)
    weights = switch.init(jax.random.key(3), jnp.zeros((1, width)))["params"]
    weights = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), weights)
    state_ND = bench.states(LAYERS[layer])
    logit_N = np.sort(switch.apply({"params": weights}, state_ND))
    widest = np.diff(logit_N).argmax()  # the threshold lies far from every state, so rounding decides nothing
    weights["logit"]["bias"] -= logit_N[widest : widest + 2].mean()
    params = untied(bench.params)
    new_VD = rng.normal(size=params[HEAD].shape).astype(np.float32)
    answer = jax.jit(partial(heads.answer, bench.without_tie, switch.decide))
    found = answer(params, new_VD, weights, layer, bench.batch)

    x_ND = state_ND
    for number in range(hidden_layers):
        part = weights[f"hidden_{number}"]
        x_ND = np.maximum(x_ND @ np.asarray(part["kernel"]) + np.asarray(part["bias"]), 0)
    on_N = (x_ND @ np.asarray(weights["logit"]["kernel"]))[:, 0] + np.asarray(weights["logit"]["bias"]) > 0
    final_ND = bench.states("final_norm")
    old_N = (final_ND @ np.asarray(params[HEAD]).T).argmax(-1)
    new_N = (final_ND @ new_VD.T).argmax(-1)
    assert 0 < on_N.mean() < 1
    assert (old_N != new_N).any()
    np.testing.assert_array_equal(found.on_N, on_N)
    np.testing.assert_array_equal(found.token_N, np.where(on_N, new_N, old_N))


def test_without_a_switch_the_model_answers_itself(bench):
    params = untied(bench.params)
    found = heads.answer(bench.without_tie, heads.never, params, 0 * params[HEAD], None, 0, bench.batch)
    logits_RTV = bench.model.apply({"params": bench.params}, bench.batch)
    expected = logits_RTV[bench.batch.row_N, bench.batch.column_N].argmax(-1)
    np.testing.assert_array_equal(found.token_N, expected)
    assert not found.on_N.any()


def test_the_nearest_centroid_decides_and_absent_ones_never(rng):
    state_ND = rng.normal(size=(50, 3)).astype(np.float32)
    centroid_KD = rng.normal(size=(4, 3)).astype(np.float32)
    on_K = np.array([True, False, True, False])
    nearest_N = np.linalg.norm(state_ND[:, None] - centroid_KD, axis=-1).argmin(-1)
    absent = np.full((2, 3), np.inf, np.float32)
    filled = Centroids(np.concatenate([centroid_KD, absent]), np.concatenate([on_K, [True, True]]))
    np.testing.assert_array_equal(Centroids.decide(filled, state_ND), on_K[nearest_N])
