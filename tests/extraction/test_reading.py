"""Reading prompts: the states of each prompt are those it has alone, with its own labels."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.extraction.batches import shards_of
from clusterlm_jax.extraction.reading import read_shards
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.models.pretrained.architectures import read_states
from clusterlm_jax.models.pretrained.llama import Llama, LlamaSpec
from clusterlm_jax.records import layer_names

TOLERANCE = 5e-5  # float32 noise
MODEL = Llama(
    LlamaSpec(
        vocabulary=50, hidden_dim=16, ffn_dim=24, layers=2, heads=4, kv_heads=2, head_dim=4, positions=30,
        norm_epsilon=1e-6, rope_theta=1e4, rope_scaling=None, compute_dtype="float32",
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def params():
    tokens_BT = np.ones((1, 1), np.int32)
    params = MODEL.init(jax.random.key(0), tokens_BT, np.zeros(1, np.int32))["params"]
    return jax.tree.map(lambda leaf: 10 * leaf if leaf.ndim > 1 else leaf, params)  # states of order 1


@pytest.fixture
def ids(rng) -> list[np.ndarray]:
    """Of few lengths, since each is compiled: below, at and above a padded length; the longest that the model takes."""
    return [rng.integers(1, 50, size).astype(np.int32) for size in rng.choice([3, 8, 9, 20, 30], 40)]


@pytest.mark.parametrize("first", [0, 2])
def test_states_are_those_of_each_prompt_alone(params, ids, first):
    """Breaks when a token sees padding, when a row of padding counts, or when states get another prompt's labels.

    The longest prompts have as many tokens as the model has positions, which is no multiple of the padded lengths.
    """
    columns = {"instruction": np.arange(40, dtype=np.int32)}
    read_alone = jax.jit(partial(read_states, MODEL))
    shards = shards_of(ids, ExtractSpec(batch_tokens=64, shard=7), MODEL.spec.positions)
    read = list(read_shards(MODEL, params, shards[first:], columns, "main", 3, "test"))
    assert [states.hidden_LND.shape[1] for states in read] == [
        sum(len(batch.instance_N) for batch in shard) for shard in shards[first:]
    ]
    assert len(read) > 2
    seen = np.concatenate([states.labels["instruction"] for states in read])
    if first == 0:
        assert sorted(seen) == list(range(40))
    for states in read:
        assert (states.run, states.seed, states.epoch, states.split) == ("main", 3, 0, "test")
        assert states.layers == layer_names(2)
        assert states.hidden_LND.dtype == np.float32
        for row in range(0, states.hidden_LND.shape[1], 4):
            instance, hidden_LD = states.labels["instruction"][row], states.hidden_LND[:, row]
            last_B = np.array([len(ids[instance]) - 1])
            alone_LBD = read_alone(params, ids[instance][None], last_B)
            np.testing.assert_allclose(hidden_LD, alone_LBD[:, 0], atol=TOLERANCE, rtol=0)
