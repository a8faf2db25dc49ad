"""Our reader of Flax's msgpack files, compared with flax's own."""

from __future__ import annotations

from pathlib import Path

import flax.serialization
import jax
import ml_dtypes
import numpy as np
import pytest

from clusterlm_jax.models.pretrained import flax_msgpack


def encoded(tree: dict) -> bytes:
    return flax.serialization.msgpack_serialize(tree)


def values(path: Path, array: flax_msgpack.PlacedArray) -> np.ndarray:
    content = path.read_bytes()
    raw = b"".join(content[offset : offset + size] for offset, size in array.pieces)
    return np.frombuffer(raw, array.dtype).reshape(array.shape)


@pytest.mark.parametrize("limit", [2**30, 100])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
def test_arrays_are_those_flax_restores(dtype, limit, rng, tmp_path, monkeypatch):
    """Below the limit and cut into chunks; with sizes that take every width of msgpack's headers."""
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", limit)
    shapes = [(), (1,), (3, 5), (7, 1, 40), (300, 90), (40_000,)]
    tree = {f"part {i:02}": {"x" * 40: np.asarray(rng.normal(size=shape), dtype)} for i, shape in enumerate(shapes * 3)}
    path = tmp_path / "file.msgpack"
    path.write_bytes(encoded(tree))
    assert (b"__msgpack_chunked_array__" in path.read_bytes()) == (limit == 100)
    restored = flax.serialization.msgpack_restore(path.read_bytes())
    found = {name: values(path, array) for name, array in flax_msgpack.arrays(path)}
    assert list(found) == [f"part {i:02}.{'x' * 40}" for i in range(len(tree))]
    for ours, theirs in zip(
        found.values(), jax.tree.leaves(restored, is_leaf=lambda x: hasattr(x, "dtype")), strict=True
    ):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(ours, theirs)


def test_every_shortened_file_is_refused(tmp_path):
    """Cut at every byte: a truncated header, name or array never goes unnoticed."""
    whole = encoded({"a": {"b": np.arange(20, dtype=np.float32)}, "c": np.ones((2, 2), ml_dtypes.bfloat16)})
    path = tmp_path / "file.msgpack"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="it ends too soon"):
            list(flax_msgpack.arrays(path))


@pytest.mark.parametrize("tree", [{"a": None}, {"a": 1.5}, {"a": np.float32(1)}, {"a": 1j}])
def test_other_things_than_arrays_are_refused(tree, tmp_path):
    path = tmp_path / "file.msgpack"
    path.write_bytes(encoded(tree))
    with pytest.raises(ValueError, match="it holds other things than arrays"):
        list(flax_msgpack.arrays(path))
