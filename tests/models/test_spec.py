"""Impossible shapes of a GPT-2 are refused in one sentence."""

from __future__ import annotations

import pytest

from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"layers": 0}, "model.layers is 0"),
        ({"heads": 5}, "does not divide"),
        ({"dropout": 1.0}, "model.dropout is 1.0; it must be at most 0.99"),
        ({"compute_dtype": "float16"}, "allowed: float32, bfloat16"),
        ({"ffn_dim": 0}, "model.ffn_dim is 0"),
        ({"initial_scale": 0.0}, "model.initial_scale is 0.0; it must be above 0"),
    ],
)
def test_impossible_shapes_are_refused(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        GPT2Spec(**wrong)
