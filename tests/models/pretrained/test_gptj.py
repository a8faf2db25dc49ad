"""Our GPT-J compared with PyTorch's and with transformers' Flax."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from clusterlm_jax.models.pretrained.architectures import model_of, parameter_shapes
from clusterlm_jax.records import UserError
from tests.models import parity
from tests.models.parity import TOLERANCE, VOCABULARY

SMALL = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 2,
    "n_positions": 64,
    "rotary_dim": 6,  # of a head of 16
    "layer_norm_epsilon": 1e-3,  # far from the default, so that ignoring it makes a difference
}


def small_config(**changes):
    pytest.importorskip("torch")
    from transformers import GPTJConfig

    config = GPTJConfig(**SMALL)
    vars(config).update(changes)  # not as arguments: transformers 5 refuses rotary_dim=None, which its model takes
    return config


@pytest.fixture(scope="module")
def twin():
    return parity.torch_twin(small_config())


@pytest.fixture(scope="module")
def params(twin) -> dict:
    return parity.params_of(twin)


@pytest.mark.parametrize(
    "changes",
    [{}, {"rotary_dim": 16}, {"rotary_dim": None, "n_head": 1}, {"n_inner": 40}],
    ids=["partial", "whole head", "rotary_dim unset", "n_inner"],
)
def test_every_layer_equals_pytorch(changes):
    """Halves instead of pairs, erf GELU or a second norm for the feed-forward network move a layer by over 5e-4."""
    differences = parity.difference_to_torch(parity.torch_twin(small_config(**changes)))
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("rotary_dim", [6, 16])
def test_every_layer_equals_stock_flax(rotary_dim):
    differences = parity.difference_to_flax(small_config(rotary_dim=rotary_dim))
    assert max(differences.values()) < TOLERANCE, differences


def test_parameters_are_those_of_stock_flax():
    """Names, shapes and types, but for the head."""
    config = small_config()
    theirs = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parity.stock_flax(config).params)
    ours = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parameter_shapes(model_of(config, "float32")))
    assert theirs.keys() - ours.keys() == {"lm_head"}
    assert theirs["transformer"] == ours["transformer"]


def test_that_parity_is_no_tautology(twin, params):
    """Any one parameter, 5% larger, moves the states; the head's are none of them."""
    assert parity.unmoved_by(model_of(twin.config, "float32"), params) == ["lm_head/bias", "lm_head/kernel"]


def test_rows_are_as_if_alone(twin, params):
    parity.assert_rows_are_as_if_alone(model_of(twin.config, "float32"), params)


def test_causal_by_gradient(twin, params):
    matter_T = parity.tokens_that_matter(model_of(twin.config, "float32"), params, position=5, length=9)
    np.testing.assert_array_equal(matter_T, np.arange(9) <= 5)


def test_bfloat16_is_near_float32(twin, params):
    """bfloat16 rounds to 8 bits, .4%; after three blocks that is about a hundredth of the largest state."""
    assert 1e-4 < parity.largest_change_by_bfloat16(twin.config, params) < 0.03


def test_prompts_longer_than_the_model_are_refused(twin, params):
    with pytest.raises(UserError, match="65 tokens; this model takes 64 at most"):
        parity.states(model_of(twin.config, "float32"), params, np.zeros((1, 65), int), np.array([3]))
