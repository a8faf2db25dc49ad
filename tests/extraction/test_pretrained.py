"""A checkpoint as a module, variables and a tokenizer, and its states through `capture`."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from clusterlm_jax import capture, load_pretrained
from clusterlm_jax.models.pretrained.architectures import read_states
from clusterlm_jax.records import UserError, layer_names
from tests.extraction import tiny_tokenizer
from tests.models import checkpoints

TEXTS = ("the cat sat", "a dog", "the dog sat on the cat")


def test_a_checkpoint_is_loaded_and_captured(tmp_path):
    """The sown sites in their order, at the last token of each text; rows are padded."""
    vocabulary = tiny_tokenizer.save(tmp_path, TEXTS)
    checkpoints.save(checkpoints.tiny("llama", vocab_size=vocabulary), tmp_path, "safetensors")
    module, variables, tokenizer = load_pretrained(tmp_path, compute_dtype="float32")
    tokens_BT, last_B = tokenizer.padded(TEXTS)
    assert tokens_BT.shape == (3, 7) and last_B.tolist() == [3, 2, 6]
    states = capture(module, variables, tokens_BT, last_B, batch_size=2, progress=False)
    assert list(states) == [f"layer_{name}" for name in layer_names(2)]
    expected = jax.jit(lambda params: read_states(module, params, tokens_BT, last_B))(variables["params"])
    np.testing.assert_allclose(np.stack([*states.values()]), expected, atol=1e-5)


def test_no_model_is_said_so(tmp_path):
    with pytest.raises(UserError, match="There is no directory"):
        load_pretrained(tmp_path / "nothing")
