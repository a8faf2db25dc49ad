"""Our LLaMA compared with PyTorch's and with transformers' Flax, and what the stock Flax graph gets wrong."""

from __future__ import annotations

import copy
from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.models.pretrained.architectures import model_of, parameter_shapes
from clusterlm_jax.records import UserError
from tests.models import parity
from tests.models.parity import TOLERANCE, VOCABULARY

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-3,  # far from the default, so that ignoring it makes a difference
}
# A head of width 8 has four frequencies: of these one is kept, one is interpolated and two are divided.
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA_3["original_max_position_embeddings"] = 128
LINEAR = {"rope_type": "linear", "factor": 8.0}


def small_config(**changes):
    pytest.importorskip("torch")
    from transformers import LlamaConfig

    return LlamaConfig(**copy.deepcopy(SMALL | changes))  # transformers 5 writes rope_theta into rope_scaling


@pytest.fixture(scope="module")
def twin():
    return parity.torch_twin(small_config(num_key_value_heads=2))


@pytest.fixture(scope="module")
def params(twin) -> dict:
    return parity.params_of(twin)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "head_dim": 12},
        {"rope_theta": 500_000.0},
        {"rope_scaling": LINEAR},
        {"rope_scaling": LLAMA_3},
        {"rope_scaling": LLAMA_3, "rope_theta": 500_000.0, "num_key_value_heads": 2, "head_dim": 16},
    ],
    ids=["plain", "grouped", "one key head, head_dim", "theta", "linear", "llama3", "all"],
)
def test_every_layer_equals_pytorch(changes):
    """A query head on the wrong key head, another frequency or another epsilon moves a layer by over 5e-4."""
    differences = parity.difference_to_torch(parity.torch_twin(small_config(**changes)))
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_every_layer_equals_stock_flax_where_that_is_right(kv_heads):
    differences = parity.difference_to_flax(small_config(num_key_value_heads=kv_heads))
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("changes", [{"rope_scaling": LINEAR}, {"rope_theta": 500_000.0}], ids=["linear", "theta"])
def test_stock_flax_is_wrong_where_positions_are_stretched(changes):
    """Why we have a graph of our own: FlaxLlama reads neither attribute, so its states are those of another model."""
    twin = parity.torch_twin(small_config(**changes))
    tokens_BT, last_B = parity.prompts()
    theirs_D = parity.torch_states(twin, tokens_BT[0])[-1, -1]  # the first row is not padded
    params = parity.params_of(twin)
    stock_D = parity.stock_states(parity.stock_flax(twin.config), params)[-1, 0]
    ours_D = parity.states(model_of(twin.config, "float32"), params, tokens_BT, last_B)[-1, 0]
    assert np.abs(stock_D - theirs_D).max() > 1000 * TOLERANCE
    np.testing.assert_allclose(ours_D, theirs_D, atol=TOLERANCE, rtol=0)


def test_parameters_are_those_of_stock_flax():
    """Names, shapes and types, but for the head."""
    config = small_config(num_key_value_heads=2)
    theirs = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parity.stock_flax(config).params)
    ours = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parameter_shapes(model_of(config, "float32")))
    assert theirs.keys() - ours.keys() == {"lm_head"}
    assert theirs["model"] == ours["model"]


def test_that_parity_is_no_tautology(twin, params):
    """Any one parameter, 5% larger, moves the states; the head is none of them."""
    assert parity.unmoved_by(model_of(twin.config, "float32"), params) == ["lm_head/kernel"]


def test_rows_are_as_if_alone(twin, params):
    parity.assert_rows_are_as_if_alone(model_of(twin.config, "float32"), params)


def test_causal_by_gradient(twin, params):
    matter_T = parity.tokens_that_matter(model_of(twin.config, "float32"), params, position=5, length=9)
    np.testing.assert_array_equal(matter_T, np.arange(9) <= 5)


def test_output_is_the_last_state_and_nothing_is_sown_unasked(twin, params):
    model, (tokens_BT, last_B) = model_of(twin.config, "float32"), parity.prompts()
    state_BD, sown = jax.jit(partial(model.apply, mutable=[]))({"params": params}, tokens_BT, last_B)
    assert not sown
    assert set(jax.eval_shape(model.init, jax.random.key(0), tokens_BT, last_B)) == {"params"}
    np.testing.assert_allclose(state_BD, parity.states(model, params, tokens_BT, last_B)[-1], atol=TOLERANCE, rtol=0)


def test_bfloat16_is_near_float32(twin, params):
    """bfloat16 rounds to 8 bits, .4%; after three blocks that is about a hundredth of the largest state."""
    assert 1e-4 < parity.largest_change_by_bfloat16(twin.config, params) < 0.03


def test_prompts_longer_than_the_model_are_refused(twin, params):
    with pytest.raises(UserError, match="257 tokens; this model takes 256 at most"):
        parity.states(model_of(twin.config, "float32"), params, np.zeros((1, 257), int), np.array([3]))
