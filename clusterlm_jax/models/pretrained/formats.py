"""The tensors of a checkpoint on disk: safetensors, Flax msgpack or PyTorch .bin, in one file or in shards.

Names, shapes and types are read first and cost little. Host memory holds the values of one tensor at a time.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import prod
from pathlib import Path

import ml_dtypes  # noqa: F401 - makes numpy know a dtype named bfloat16
import numpy as np

from clusterlm_jax.models.pretrained import flax_msgpack
from clusterlm_jax.models.pretrained.flax_msgpack import PlacedArray
from clusterlm_jax.records import UserError

DTYPES = ("float32", "float16", "bfloat16")
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint, not read yet.

    Attributes:
      name: its path in the checkpoint, parts joined by full stops.
      dtype: numpy's name of its type; the format's own name if the type is not one of `DTYPES`.
      read: reads its values into memory of their own, if the type is one of `DTYPES`; with a slice, those of some rows
        (entries of the first axis) only. Call it before you ask for the next tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[..., np.ndarray]


def find(directory: Path) -> tuple[Path, ...]:
    """The files that hold the weights of a checkpoint; if it has several formats, the first of `READERS`.

    Raises:
      UserError: no directory, no weights, or an index that names missing files.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is no directory; a checkpoint is one with config.json and weights.")
    for name in READERS:
        if (directory / name).is_file():
            return (directory / name,)
        if (directory / f"{name}.index.json").is_file():
            return _shards(directory / f"{name}.index.json", Path(name).suffix)
    raise UserError(f"{directory} holds no weights; looked for {', '.join(READERS)}, each also as NAME.index.json.")


def tensors(files: Iterable[Path]) -> Iterator[StoredTensor]:
    """Every tensor of the files, in their order; each file is closed before the next one is opened.

    Raises:
      UserError: a file is damaged, or it needs torch and torch is not installed.
    """
    readers = {Path(name).suffix: reader for name, reader in READERS.items()}
    for file in files:
        try:
            yield from readers[file.suffix](file)
        except (UserError, PermissionError, MemoryError):
            raise
        except Exception as error:  # each library raises its own classes, and a damaged pickle may raise any
            raise UserError(
                f"{file} cannot be read: it is damaged, half a download, or not made of tensors; fetch it again."
            ) from error


def _shards(index: Path, suffix: str) -> tuple[Path, ...]:
    try:
        files = [index.parent / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{index} is no index, JSON with the file of each tensor in "weight_map"; fetch it again.'
        ) from error
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"{index} names {', '.join(missing)}, which the directory does not hold; fetch what is missing."
        )
    if any(file.suffix != suffix for file in files):  # the suffix chooses the reader
        raise UserError(f"{index} names other files than {suffix} ones; fetch it again.")
    return tuple(files)


def _safetensors(path: Path) -> Iterator[StoredTensor]:
    """The format: the size of a JSON header in 8 bytes, the header, the values (huggingface.co/docs/safetensors)."""
    names, length = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}, path.stat().st_size
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if start > length:
            raise ValueError("it ends too soon")
        header = json.loads(file.read(start - 8))
    for name, entry in header.items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            if start + end > length:
                raise ValueError("it ends too soon")
            dtype = names.get(entry["dtype"], entry["dtype"])
            yield _tensor(path, name, PlacedArray(dtype, tuple(entry["shape"]), ((start + first, end - first),)))


def _msgpack(path: Path) -> Iterator[StoredTensor]:
    for name, array in flax_msgpack.arrays(path):
        yield _tensor(path, name, array)


def _tensor(path: Path, name: str, array: PlacedArray) -> StoredTensor:
    dtype, shape, pieces = array
    if dtype in DTYPES and prod(shape) * np.dtype(dtype).itemsize != sum(size for _, size in pieces):
        raise ValueError(f"{name} has another size than its shape says")

    def read(rows: slice = ALL) -> np.ndarray:
        first, last, _ = rows.indices(shape[0] if shape else 1)
        values = _memory((last - first, *shape[1:]) if shape else (), dtype)
        raw = values.reshape(-1).view(np.uint8)  # a view: `readinto` fills `values` without a copy
        begin, start = first * prod(shape[1:]) * values.itemsize, 0  # bytes of the tensor before the rows, and a piece
        with path.open("rb") as file:
            for offset, size in pieces:
                low, high = (min(max(begin + at, start), start + size) for at in (0, raw.size))
                file.seek(offset + low - start)
                file.readinto(raw[low - begin : high - begin])
                start += size
        return values

    return StoredTensor(name, shape, dtype, read)


def _memory(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An empty array, allocated with mmap, so that freeing it returns the memory to the system.

    malloc would keep the freed pages. The parameters, which are allocated in the meantime, would lie between them, and
    host memory would grow with every tensor.
    """
    return np.frombuffer(mmap.mmap(-1, prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)


def _torch(path: Path) -> Iterator[StoredTensor]:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path} is PyTorch's, which needs torch (pip install torch --index-url https://download.pytorch.org/whl/cpu);"
            " or give the checkpoint as safetensors or msgpack."
        ) from None

    def read(name: str, dtype: str, rows: slice = ALL) -> np.ndarray:
        tensor = state[name].detach()
        tensor = tensor[rows] if tensor.ndim else tensor
        values = _memory(tensor.shape, dtype)
        values[...] = tensor.view(torch.int16).numpy().view(dtype) if dtype == "bfloat16" else tensor.numpy()
        return values

    # Mapped, a file is read page by page as its tensors are read. Files from before torch 1.6 are not zip archives and
    # cannot be mapped: such a file is read whole. `weights_only` refuses pickles that would run code.
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    for name in state:
        dtype = str(state[name].dtype).removeprefix("torch.")
        yield StoredTensor(name, tuple(state[name].shape), dtype, partial(read, name, dtype))
    state.clear()  # the `read` of the last tensor still refers to `state` and would keep the file in memory


READERS = {"model.safetensors": _safetensors, "flax_model.msgpack": _msgpack, "pytorch_model.bin": _torch}
