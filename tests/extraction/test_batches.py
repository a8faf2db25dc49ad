"""Batches of prompts: every prompt once, in few shapes, with its last token in the right place."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.extraction import batches
from clusterlm_jax.extraction.batches import BUCKET, padding_share, shards_of
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.records import UserError


@pytest.fixture
def ids(rng) -> list[np.ndarray]:
    """Prompts of 3 to 30 tokens; none of the tokens is 0, which is padding."""
    return [rng.integers(1, 99, size).astype(np.int32) for size in rng.integers(3, 31, 200)]


SPECS = [
    ExtractSpec(batch_tokens=96, shard=20),
    ExtractSpec(batch_tokens=1, shard=1),
    ExtractSpec(batch_tokens=10**6, shard=10**6),
]


@pytest.mark.parametrize("spec", SPECS)
def test_every_prompt_is_there_once_and_whole(ids, spec):
    seen = []
    for shard in shards_of(ids, spec, 32):
        for batch in shard:
            assert batch.tokens_BT.dtype == np.int32
            assert batch.last_B.shape == (len(batch.tokens_BT),)
            for row, instance in enumerate(batch.instance_N):
                length = batch.last_B[row] + 1
                np.testing.assert_array_equal(batch.tokens_BT[row, :length], ids[instance])
                assert not batch.tokens_BT[row, length:].any()
                seen.append(instance)
    assert sorted(seen) == list(range(len(ids)))


def test_shapes_are_few_and_as_asked(ids):
    spec = SPECS[0]
    shapes = {batch.tokens_BT.shape for shard in shards_of(ids, spec, 32) for batch in shard}
    assert len(shapes) == len({length for _, length in shapes}) == 4  # a length has one number of rows
    assert all(length % BUCKET == 0 and rows * length <= spec.batch_tokens for rows, length in shapes)


def test_padding_ends_at_the_last_position_of_the_model(rng):
    """Rounded up, prompts of 98 and of 100 tokens would have 104, and a model of 100 positions refuses them."""
    ids = [rng.integers(1, 99, size).astype(np.int32) for size in (98, 100, 3)]
    lengths = [batch.tokens_BT.shape[1] for shard in shards_of(ids, SPECS[2], 100) for batch in shard]
    assert lengths == [BUCKET, 100]


@pytest.mark.parametrize("spec", SPECS)
def test_shards_hold_what_they_should(ids, spec):
    sizes = [sum(len(batch.instance_N) for batch in shard) for shard in shards_of(ids, spec, 32)]
    assert min(sizes) > 0
    assert all(size >= spec.shard for size in sizes[:-1])


def test_the_share_of_padding(ids, monkeypatch):
    """Counted in another way: positions computed less tokens given. Alone and not rounded up, none is padding."""
    shards = shards_of(ids, SPECS[0], 32)
    computed = sum(batch.tokens_BT.size for shard in shards for batch in shard)
    assert padding_share(shards) == pytest.approx((computed - sum(map(len, ids))) / computed)
    monkeypatch.setattr(batches, "BUCKET", 1)
    assert padding_share(shards_of(ids, SPECS[1], 32)) == 0


@pytest.mark.parametrize("name", ["batch_tokens", "shard"])
def test_nothing_may_be_zero(name):
    with pytest.raises(UserError, match=f"extract.{name} is 0; it must be at least 1"):
        ExtractSpec(**{name: 0})
