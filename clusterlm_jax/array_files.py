"""Files of arrays: read so that damage is told by one kind of error, never unpickled; and a checksum of arrays."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an `.npz` file, by name.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it cannot be read, or has an array of objects, which only unpickling could give.
    """
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # for damage, numpy, zipfile and zlib raise exceptions of many classes
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def checksum(arrays: Iterable[np.ndarray], start: int = 0) -> int:
    """CRC-32 of the types, shapes and values of arrays, one after the other: a changed bit changes it."""
    for array in arrays:
        start = zlib.crc32(f"{array.dtype.str} {array.shape}".encode(), start)
        start = zlib.crc32(np.ascontiguousarray(array).view(np.uint8), start)  # bytes: zlib knows no bfloat16
    return start
