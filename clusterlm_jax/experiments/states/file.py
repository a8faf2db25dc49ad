"""Reads a file of hidden states with their labels.

In an `.npz` (numpy.savez) or a `.safetensors` file are these arrays:

    hidden   [layer, instance, width], any real type
    train    bool [instance], the training set; it may be missing
    layers   [layer], the names of the layers; it may be missing
    ...      every other one is a label, [instance], under its own name: integers, strings or booleans

Safetensors hold no strings. There, the metadata may have a JSON list under `layers`, and under the name of a label the
names behind its integers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import ml_dtypes  # noqa: F401 - makes numpy know a dtype named bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open

from clusterlm_jax.files import read_arrays
from clusterlm_jax.records import UserError

FORMATS = (".npz", ".safetensors")
HIDDEN, TRAIN, LAYERS = "hidden", "train", "layers"


class StatesFile(NamedTuple):
    """What is in a file, as `library.arrange` takes it."""

    hidden: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    train: np.ndarray | None


def read(path: Path) -> StatesFile:
    """Reads a file.

    Raises:
      UserError: it is not there, damaged, or lacks the states.
    """
    check(path)
    try:
        arrays = read_arrays(path) if path.suffix == ".npz" else _safetensors(path)
    except (OSError, ValueError, TypeError, IndexError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as {path.suffix} ({error}).") from error
    hidden_LND, train = arrays.pop(HIDDEN, None), arrays.pop(TRAIN, None)
    if hidden_LND is None or hidden_LND.ndim != 3:
        found = ", ".join(arrays) if hidden_LND is None else f"the shape {hidden_LND.shape}"
        raise UserError(f"{path} must have an array {HIDDEN!r} of [layer, instance, width]; it has {found}.")
    layers = [str(name) for name in np.ravel(arrays.pop(LAYERS, range(len(hidden_LND))))]
    if len(set(layers)) < len(hidden_LND) or len(layers) > len(hidden_LND):
        raise UserError(f"{path} names {len(set(layers))} layers, but has the states of {len(hidden_LND)}.")
    return StatesFile(dict(zip(layers, hidden_LND, strict=True)), arrays, train)


def check(path: Path) -> None:
    """Raises `UserError` if there is no such file, or its name says that it is another format."""
    if path.suffix not in FORMATS or not path.is_file():
        raise UserError(f"config.states is {str(path)!r}; it must be a file that ends in {' or '.join(FORMATS)}.")


def digest(path: Path) -> str:
    """SHA-256 of the file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        told = {name: json.loads(text) for name, text in (file.metadata() or {}).items() if name in {*arrays, LAYERS}}
    named = {name: np.array(names)[arrays[name]] if name in arrays else np.array(names) for name, names in told.items()}
    return arrays | named
