"""Files that a run leaves: JSON, read with a check of its form, and arrays, read without unpickling.

Damage is told in one sentence.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from clusterlm_jax.records import UserError

# What the files of a work directory hold at least. A type is of a value that must be there, `int | None` of one that
# may be missing, as objects may; "*" is any name of an object.
RUN = {
    "dataset": {},
    "model": {},
    "phases": {"*": {"training": {"*": {}}, "best": {"*": {"epoch": int}}, "trained": int | None}},
}
CONFIG = {section: {} for section in ("data", "model", "train", "eval", "report", "switch")}
OBJECTS = {"run.json": RUN, "config.json": CONFIG, "env.json": {}}
# Of every line; whatever else a line has is a number, or null.
LINES = {
    "metrics.jsonl": {"run": str, "seed": int, "epoch": int, "step": int},
    "effects.jsonl": {"seed": int, "test": str, "kind": str, "amount": float, "draw": int, "layer": str},
    "tasks.jsonl": {"run": str, "seed": int, "task": int, "role": str, "instances": int, "correct": int},
    "timings.jsonl": {"stage": str, "seconds": float},
}


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Adds one line. It is one write, so a kill leaves at most this line incomplete; the next one takes its place."""
    with path.open("ab") as file:
        if file.tell() and not (text := path.read_bytes()).endswith(b"\n"):
            file.truncate(text.rfind(b"\n") + 1)
        file.write(f"{json.dumps(row)}\n".encode())


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of `LINES`; empty if there is no file. A last line that a kill cut off is left out.

    Raises:
      UserError: naming the line that is damaged.
    """
    form = LINES[path.name]
    *lines, _incomplete = _read(path).split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged (line {number}: {error.msg}).") from error
        _check_form(path, rows[-1], form, f"line {number}")
        for name in rows[-1].keys() - form.keys():
            if not isinstance(rows[-1][name], int | float | None):
                raise UserError(f"{path} is damaged (line {number}: {name} is no number).")
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no file.

    Raises:
      UserError: it cannot be read, or is a file of `OBJECTS` and of another form.
    """
    try:
        found = json.loads(_read(path)) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged (line {error.lineno}: {error.msg}).") from error
    if path.name in OBJECTS:
        _check_form(path, found, OBJECTS[path.name], "it")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error


def _check_form(path: Path, found: Any, form: Mapping[str, Any], where: str) -> None:
    """Refuses what is no object of this form; `where` in the file it stands, in words."""
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged ({where} is a {type(found).__name__}, not an object).")
    for name, kind in form.items():
        if isinstance(kind, Mapping):
            for each in found if name == "*" else found.keys() & {name}:
                _check_form(path, found[each], kind, each)
        elif not _is(found.get(name), kind):
            raise UserError(f"{path} is damaged ({where}: {name} is {found.get(name)!r}).")


def _is(value: Any, kind: type | UnionType) -> bool:
    """Whether a value is of a kind; a float is any finite number, as Python's JSON reads NaN and Infinity too."""
    return isinstance(value, int | float) and math.isfinite(value) if kind is float else isinstance(value, kind)


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
