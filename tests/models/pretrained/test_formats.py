"""Every format gives the tensors that went in, one at a time; a damaged file gives one sentence."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import flax.serialization
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from clusterlm_jax.models.pretrained import formats
from clusterlm_jax.records import UserError

TYPES = (np.float32, np.float16, ml_dtypes.bfloat16)
NAMES = {"safetensors": "model.safetensors", "msgpack": "flax_model.msgpack", "bin": "pytorch_model.bin"}
OLD = "old bin"  # from before torch 1.6: not a zip archive


@pytest.fixture
def arrays(rng) -> dict[str, np.ndarray]:
    """Arrays of each type and rank; some of the numbers are too small for a normal float16."""
    return {
        f"block.{rank}.{np.dtype(dtype).name}": np.asarray(rng.normal(size=shape) * 1e-6, dtype)
        for dtype in TYPES
        for rank, shape in enumerate([(), (5,), (3, 4)])
    }


def write(path: Path, arrays: dict[str, np.ndarray], old: bool = False) -> None:
    if path.suffix == ".safetensors":
        save_file(arrays, path)
    elif path.suffix == ".msgpack":
        tree: dict = {}
        for name, array in arrays.items():
            *parents, last = name.split(".")
            branch = tree
            for parent in parents:
                branch = branch.setdefault(parent, {})
            branch[last] = array
        path.write_bytes(flax.serialization.msgpack_serialize(tree))
    else:
        torch = pytest.importorskip("torch")
        state = {name: torch.tensor(array.astype(np.float32)) for name, array in arrays.items()}
        state = {name: tensor.to(getattr(torch, arrays[name].dtype.name)) for name, tensor in state.items()}
        torch.save(state, path, _use_new_zipfile_serialization=not old)


def saved(directory: Path, format: str, arrays: dict[str, np.ndarray], shards: int = 1) -> Path:
    name = NAMES[format.removeprefix("old ")]
    if shards == 1:
        write(directory / name, arrays, format == OLD)
        return directory
    weight_map = {key: f"{index % shards}-{name}" for index, key in enumerate(arrays)}
    for shard in set(weight_map.values()):
        write(directory / shard, {k: v for k, v in arrays.items() if weight_map[k] == shard}, format == OLD)
    (directory / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return directory


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("format", [*NAMES, OLD])
def test_what_went_in_comes_out(format, shards, arrays, tmp_path):
    """Bit by bit. A type converted through another would round; a scalar read as a vector would change its shape."""
    files = formats.find(saved(tmp_path, format, arrays, shards))
    assert len(files) == shards
    found = {}
    for tensor in formats.tensors(files):
        values = tensor.read()
        assert (tensor.shape, tensor.dtype) == (values.shape, values.dtype.name)
        found[tensor.name] = values
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
        assert array.any()


@pytest.mark.parametrize("format", [*NAMES, OLD])
def test_some_rows_of_a_tensor(format, arrays, tmp_path):
    """What one of several processes reads."""
    for tensor in formats.tensors(formats.find(saved(tmp_path, format, arrays))):
        if tensor.shape:
            rows = slice(1, tensor.shape[0] - 1)
            assert tensor.read(rows).tobytes() == arrays[tensor.name][rows].tobytes()


@pytest.mark.parametrize("format", NAMES)
def test_one_tensor_in_memory_at_a_time(format, tmp_path, monkeypatch):
    """Reading a whole file, or holding a tensor twice, would take 2 MB or more."""
    monkeypatch.setattr(formats, "_memory", np.empty)  # tracemalloc does not see memory from mmap
    saved(tmp_path, format, {str(index): np.full(250_000, index, np.float32) for index in range(8)})
    list(formats.tensors(formats.find(tmp_path)))  # imports the libraries, which take memory too
    tracemalloc.start()
    for tensor in formats.tensors(formats.find(tmp_path)):
        assert tensor.read().sum() == 250_000 * int(tensor.name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5e6


def test_what_is_read_is_ours_to_keep(arrays, tmp_path):
    """On a CPU jax may use an array's memory without a copy, so no later tensor and no closed file may change it."""
    for format in NAMES:
        directory = tmp_path / format
        directory.mkdir()
        kept = {
            tensor.name: tensor.read() for tensor in formats.tensors(formats.find(saved(directory, format, arrays)))
        }
        (directory / NAMES[format]).write_bytes(bytes((directory / NAMES[format]).stat().st_size))
        assert all(kept[name].tobytes() == array.tobytes() for name, array in arrays.items())


def test_safetensors_before_msgpack_before_bin(arrays, tmp_path):
    for format in reversed(NAMES):
        saved(tmp_path, format, arrays)
        assert [file.name for file in formats.find(tmp_path)] == [NAMES[format]]


@pytest.mark.parametrize("format", [*NAMES, OLD])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_half_a_shard_is_named(format, kept, arrays, tmp_path):
    files = formats.find(saved(tmp_path, format, arrays | {"large": np.ones((50, 50), np.float32)}, shards=2))
    damaged = files[1].read_bytes()
    files[1].write_bytes(damaged[: int(len(damaged) * kept)])
    with pytest.raises(UserError, match=f"{files[1].name} cannot be read: it is damaged, half a download"):
        list(formats.tensors(files))


@pytest.mark.parametrize("format", NAMES)
@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"\x93\x01\x02\x03"]
)
def test_other_files_of_that_name_are_refused(format, content, tmp_path):
    (tmp_path / NAMES[format]).write_bytes(content)
    with pytest.raises(UserError, match=f"{NAMES[format]} cannot be read"):
        list(formats.tensors(formats.find(tmp_path)))


class Intruder:
    """What a harmful pickle holds: a call."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("new", [True, False])
def test_no_code_of_a_checkpoint_runs(new, tmp_path):
    torch = pytest.importorskip("torch")
    intruder = Intruder(tmp_path / "mark")
    torch.save({"a": intruder}, tmp_path / NAMES["bin"], _use_new_zipfile_serialization=new)
    with pytest.raises(UserError, match="not made of tensors"):
        list(formats.tensors(formats.find(tmp_path)))
    assert not intruder.mark.exists()


def test_torch_is_asked_for_only_where_needed(arrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"needs torch \(pip install torch .+ or give the checkpoint as safetensors"):
        (tmp_path / NAMES["bin"]).touch()
        list(formats.tensors(formats.find(tmp_path)))
    for format in ("safetensors", "msgpack"):
        directory = tmp_path / format
        directory.mkdir()
        assert len(list(formats.tensors(formats.find(saved(directory, format, arrays))))) == len(arrays)


def test_a_directory_without_weights(tmp_path):
    with pytest.raises(
        UserError, match=r"holds no weights; looked for model.safetensors, flax_model.msgpack, pytorch_"
    ):
        formats.find(tmp_path)
    with pytest.raises(UserError, match="nowhere is no directory"):
        formats.find(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is no directory"):
        formats.find(tmp_path / "file")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', '{"weight_map": {"a": [3]}}', "\xff"],
)
@pytest.mark.parametrize("format", NAMES)
def test_an_index_that_is_none(format, content, tmp_path):
    (tmp_path / f"{NAMES[format]}.index.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r'index.json is no index, JSON with the file of each tensor in "weight_map"'):
        formats.find(tmp_path)


def test_an_index_of_files_that_are_not_there(arrays, tmp_path):
    files = formats.find(saved(tmp_path, "safetensors", arrays, shards=3))
    for file in (files[0], files[2]):
        file.unlink()
    with pytest.raises(UserError, match=r"index.json names 0-model.safetensors, 2-model.safetensors, which"):
        formats.find(tmp_path)


def test_an_index_of_other_files(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "notes.txt"}}')
    with pytest.raises(UserError, match=r"names other files than .safetensors ones"):
        formats.find(tmp_path)
