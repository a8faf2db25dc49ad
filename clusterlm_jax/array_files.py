"""Files of arrays: read so that damage is told by one kind of error, and never unpickled."""

from __future__ import annotations

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
