"""Finds where the arrays of a Flax msgpack file lie, without reading their values.

The msgpack library, which flax uses, would hold the file in memory three times. Its headers alone tell where each array
is (github.com/msgpack/msgpack/blob/master/spec.md; flax.serialization).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

NDARRAY = 1  # flax's extension type for an array: (shape, name of the dtype, values)
CHUNKED = "__msgpack_chunked_array__"  # the mark of an array above 1 GiB, which flax cuts into flat chunks

# The first byte of an object -> its kind, and the number of bytes that hold its size (or value, of an int). Small
# objects have their size in the first byte itself; `_head` knows those.
LONG = {0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4), 0xC7: ("ext", 1), 0xC8: ("ext", 2), 0xC9: ("ext", 4)}
LONG |= {0xCC: ("int", 1), 0xCD: ("int", 2), 0xCE: ("int", 4), 0xCF: ("int", 8)}
LONG |= {0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4)}
LONG |= {0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}


class PlacedArray(NamedTuple):
    """An array in a file; `pieces` are (offset in the file, number of bytes), in order."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[int, int], ...]


def arrays(path: Path) -> Iterator[tuple[str, PlacedArray]]:
    """Every array of the file with its path, parts joined by full stops.

    Raises:
      ValueError: the file is truncated, or is not a tree of arrays.
    """
    with path.open("rb") as file:
        tree = _skim(file)
    yield from _leaves(tree)


def _leaves(tree: Mapping, prefix: str = "") -> Iterator[tuple[str, PlacedArray]]:
    for key, value in tree.items():
        if isinstance(value, PlacedArray):
            yield prefix + key, value
        elif CHUNKED in value:
            shape, chunks = ([value[part][str(i)] for i in range(len(value[part]))] for part in ("shape", "chunks"))
            pieces = tuple(piece for chunk in chunks for piece in chunk.pieces)
            yield prefix + key, PlacedArray(chunks[0].dtype, tuple(shape), pieces)
        else:
            yield from _leaves(value, f"{prefix}{key}.")


def _skim(file: BinaryIO):
    """The next object of the file: a `PlacedArray` in place of each array, (offset, bytes) in place of its values."""
    kind, size = _head(file)
    if kind == "map":
        return {_skim(file): _skim(file) for _ in range(size)}
    if kind == "array":
        return [_skim(file) for _ in range(size)]
    if kind == "str":
        return _exactly(file, size).decode()
    if kind == "bin":
        offset = _reaching(file, size)
        file.seek(size, os.SEEK_CUR)
        return offset, size
    if kind == "ext":
        if _exactly(file, 1)[0] != NDARRAY:
            raise ValueError("it holds other things than arrays")
        shape, dtype, piece = _skim(file)
        return PlacedArray(dtype, tuple(shape), (piece,))
    return size


def _head(file: BinaryIO) -> tuple[str, int]:
    """Kind of the next object, and its size: bytes (str, bin, ext), entries (array, map), or the value itself (int)."""
    first = _exactly(file, 1)[0]
    for kind, low, high in (("int", 0x00, 0x80), ("map", 0x80, 0x90), ("array", 0x90, 0xA0), ("str", 0xA0, 0xC0)):
        if low <= first < high:
            return kind, first - low
    if first in (0xC2, 0xC3):  # false and true
        return "int", first - 0xC2
    if 0xD4 <= first <= 0xD8:
        return "ext", 2 ** (first - 0xD4)
    if first not in LONG:
        raise ValueError("it holds other things than arrays")
    kind, width = LONG[first]
    return kind, int.from_bytes(_exactly(file, width), "big")


def _exactly(file: BinaryIO, size: int) -> bytes:
    _reaching(file, size)
    return file.read(size)


def _reaching(file: BinaryIO, size: int) -> int:
    """The offset of the next byte, if at least `size` bytes follow.

    The check comes before the read: the size in a damaged header may be gigabytes.
    """
    offset = file.tell()
    if offset + size > os.fstat(file.fileno()).st_size:
        raise ValueError("it ends too soon")
    return offset
