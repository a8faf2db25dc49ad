"""Next-token logits of LLaMA and GPT-J equal PyTorch's, in padded rows and in packed ones."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from clusterlm_jax.data.batching import reading_batches
from clusterlm_jax.models.pretrained import loading
from clusterlm_jax.records import Batch, Instances
from tests.models import parity
from tests.models.parity import TOLERANCE, VOCABULARY


def small_config(architecture: str, tied: bool):
    pytest.importorskip("torch")
    from transformers import GPTJConfig, LlamaConfig

    shared = {"vocab_size": VOCABULARY, "tie_word_embeddings": tied}
    if architecture == "gptj":
        return GPTJConfig(n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64, **shared)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaConfig(**sizes, num_key_value_heads=2, max_position_embeddings=64, **shared)


@pytest.fixture(scope="module", params=["llama", "llama tied", "gptj", "gptj tied"])
def subject(request, tmp_path_factory):
    """transformers' model, ours with its head, and its parameters as they were loaded."""
    architecture, _, tied = request.param.partition(" ")
    twin, directory = parity.torch_twin(small_config(architecture, bool(tied))), tmp_path_factory.mktemp("checkpoint")
    if tied:
        twin.tie_weights()
    twin.save_pretrained(directory)
    model = loading.describe(directory, "float32", head=True)
    return twin, model, loading.load(directory, model, jax.devices())


def torch_logits(twin, tokens_T: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return twin(torch.tensor(tokens_T[None])).logits[0, -1].numpy()


def test_logits_are_pytorchs(subject):
    twin, model, params = subject
    tokens_BT, last_B = parity.prompts()
    with jax.default_matmul_precision("highest"):
        ours_BV = jax.jit(model.apply)({"params": params}, tokens_BT, last_B)
    theirs = [torch_logits(twin, row_T[: last + 1]) for row_T, last in zip(tokens_BT, last_B, strict=True)]
    assert np.std(theirs) > 0.3  # of order 1, or the tolerance would mean little
    np.testing.assert_allclose(ours_BV, np.stack(theirs), atol=2 * TOLERANCE, rtol=0)


def test_what_shares_a_beginning_is_computed_as_if_alone(subject):
    """Breaks if a branch sees another one, has another position, or is read elsewhere."""
    twin, model, params = subject
    begin, ends = np.array([7, 1, 30, 12, 5]), np.array([3, 9, 3, 40])
    tokens_NT = np.array([[*begin, end, 0] for end in ends], np.int32)
    labels = {"instruction": np.zeros(4, np.int32), "input": ends, "output": 0 * ends}
    batches, place_SN = reading_batches(Instances(tokens_NT, np.full(4, 7), labels, {}), np.arange(4), rows=2)
    assert batches.tokens_RT.shape[:2] == (1, 2), "all in one row, and an empty one"
    read = jax.jit(lambda params, batch: model.apply({"params": params}, batch, method="at_inputs"))
    logits_NV = read(params, Batch(*(leaf[0] for leaf in batches)))
    for place, row_V in zip(place_SN[0], logits_NV, strict=True):
        np.testing.assert_allclose(row_V, torch_logits(twin, tokens_NT[place, :-1]), atol=2 * TOLERANCE, rtol=0)


def test_only_an_untied_head_has_parameters_and_only_when_asked_for(subject):
    twin, model, params = subject
    paths = set(flatten_dict(params, sep="/"))
    heads = {path for path in paths if path.startswith("lm_head")}
    own = set() if twin.config.tie_word_embeddings else {"lm_head/kernel"}
    assert heads == own | ({"lm_head/bias"} if twin.config.model_type == "gptj" else set())
    assert jax.eval_shape(model.clone(head="").apply, {"params": params}, *parity.prompts()).shape == (3, 32)
