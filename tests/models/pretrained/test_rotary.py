"""Rotary embeddings: frequencies compared with PyTorch's at full size, rotations with complex numbers."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.models.pretrained import rotary
from clusterlm_jax.models.pretrained.rotary import RopeScaling

LLAMA_3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"rope_type": "default"}, None),
        ({"rope_type": "linear", "factor": 8.0}, RopeScaling("linear", 8.0)),
        ({"rope_type": "llama3"} | LLAMA_3, RopeScaling("llama3", 8.0, 1.0, 4.0, 8192)),
    ],
    ids=["plain", "linear", "llama3"],
)
def test_frequencies_are_pytorchs(theta, width, theirs, ours):
    """To four units in the last place of float32, with 64 frequencies; tiny models have only four."""
    pytest.importorskip("torch")
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    # A copy, because transformers 5 writes rope_theta into the mapping it is given.
    config = LlamaConfig(head_dim=width, rope_theta=theta, rope_scaling=dict(theirs), max_position_embeddings=65_536)
    expected_J = LlamaRotaryEmbedding(config).inv_freq
    frequency_J = rotary.inverse_frequencies(width, theta, ours)
    assert frequency_J.dtype == np.float32
    np.testing.assert_allclose(frequency_J, expected_J.numpy(), rtol=4 * 2**-23, atol=0)


def test_llama_3_keeps_the_fast_and_slows_the_slow():
    plain_J = rotary.inverse_frequencies(128, 500_000.0)
    ratio_J = rotary.inverse_frequencies(128, 500_000.0, RopeScaling("llama3", 8.0)) / plain_J
    turns_J = 8192 * plain_J / (2 * np.pi)
    np.testing.assert_array_equal(ratio_J[turns_J > 4], 1)
    np.testing.assert_array_equal(ratio_J[turns_J < 1], np.float32(1 / 8))
    between_J = ratio_J[(turns_J > 1) & (turns_J < 4)]
    assert between_J.size > 2
    assert (np.diff(between_J) < 0).all()
    assert ((between_J > 1 / 8) & (between_J < 1)).all()


def test_rotations_are_products_with_complex_numbers(rng):
    x_BTHW = rng.normal(size=(2, 5, 3, 12)).astype(np.float32)
    angle_TJ = np.arange(5)[:, None] * rotary.inverse_frequencies(8, 100.0)
    turn_T1J = np.exp(1j * angle_TJ)[:, None]

    angle_1TJ = rotary.angles(np.arange(5)[None], rotary.inverse_frequencies(8, 100.0))
    halves_BTHW = rotary.rotate_halves(x_BTHW[..., :8], angle_1TJ)
    turned_BTHJ = (x_BTHW[..., :4] + 1j * x_BTHW[..., 4:8]) * turn_T1J
    np.testing.assert_allclose(halves_BTHW, np.concatenate([turned_BTHJ.real, turned_BTHJ.imag], -1), atol=1e-6)

    pairs_BTHW = rotary.rotate_pairs(x_BTHW, angle_1TJ)
    turned_BTHJ = (x_BTHW[..., 0:8:2] + 1j * x_BTHW[..., 1:8:2]) * turn_T1J
    np.testing.assert_allclose(pairs_BTHW[..., 0:8:2], turned_BTHJ.real, atol=1e-6)
    np.testing.assert_allclose(pairs_BTHW[..., 1:8:2], turned_BTHJ.imag, atol=1e-6)
    np.testing.assert_array_equal(pairs_BTHW[..., 8:], x_BTHW[..., 8:])
