"""Values that nobody expects, and files that are damaged: by chance, but the same for the same generator."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np

TEXTS = (
    "", " ", "None", "True", "False", "0", "1", "2", "-1", "3.5", "1e400", "nan", "-inf", "1_000", "0x10", "1j", "()",
    "(,)", "[]", "{}", "(1,)", "(None,)", "('task',)", "('raw', 'raw')", "(((((", "'", '"', "\\", "a\nb", "é€😀",
    "\udcff", "..", "/", "~", "a" * 9999, "9" * 5000, "__import__('os').getpid()", "lambda: 0", "%s", "{0}", "--config",
    "=", "=1", "null", "<script>alert(1)</script>",
)  # fmt: skip
# In the place of a value of a JSON file.
VALUES = (
    None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "main", "é😀", "</script>", [], [1], ["a", None],
    {}, {"0": 1}, {"": {}},
)  # fmt: skip


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes that are cut off, flipped, lost, repeated, replaced or added."""
    size = len(content)
    start = rng.randrange(size + 1)
    end = min(size, start + rng.choice((1, 2, 16, 512)))
    head, span, tail = content[:start], content[start:end], content[end:]
    return rng.choice(
        (
            lambda: head,
            lambda: b"",
            lambda: head + bytes(byte ^ (1 << rng.randrange(8)) for byte in span) + tail,
            lambda: head + tail,
            lambda: head + span + span + tail,
            lambda: head + rng.randbytes(len(span)) + tail,
            lambda: head + bytes(len(span)) + tail,
            lambda: head + rng.choice(TEXTS).encode(errors="surrogateescape") + tail,
            lambda: rng.randbytes(rng.randrange(1, 200)),
        )
    )()


def mutated(value: Any, rng: random.Random) -> Any:
    """A JSON value with one part of it lost, renamed, or replaced by something else."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        rest = {name: part for name, part in value.items() if name != key}
        what = rng.random()
        if what < 0.15:
            return rest
        if what < 0.25:
            return rest | {rng.choice(TEXTS).encode(errors="ignore").decode(): value[key]}
        return value | {key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], *([] if rng.random() < 0.2 else [mutated(value[at], rng)]), *value[at + 1 :]]
    return rng.choice(VALUES)


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """As JSON, or as JSON on every line, still well-formed; else by its bytes."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    try:
        return json.dumps(mutated(json.loads(content), rng)).encode()
    except json.JSONDecodeError:
        lines = content.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(mutated(json.loads(lines[at]), rng)).encode()
        return b"\n".join([*lines, b""])


def damaged_table(content: bytes, rng: random.Random) -> bytes:
    """A line of values between commas with one replaced, lost or added; a line lost or repeated; else by its bytes."""
    lines = content.splitlines()
    if rng.random() < 0.4 or not lines:
        return damaged(content, rng)
    at = rng.randrange(len(lines))
    values = lines[at].split(b",")
    values[rng.randrange(len(values))] = rng.choice(TEXTS).encode(errors="surrogateescape")
    what = rng.choice(([], [lines[at]] * 2, [b",".join(values)], [b",".join(values[:-1])], [lines[at] + b",1"]))
    return b"\n".join([*lines[:at], *what, *lines[at + 1 :], b""])


def damaged_arrays(content: bytes, rng: random.Random) -> bytes:
    """An archive of arrays with one lost, renamed, or of another shape, type or values; else by its bytes."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = rng.choice(sorted(arrays))
    array = arrays.pop(name)
    if rng.random() < 0.85:
        arrays[name] = _changed(array, rng)
    elif rng.random() < 0.5:
        arrays["another"] = array
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _changed(array: np.ndarray, rng: random.Random) -> np.ndarray:
    def at_one_place(value: Any) -> np.ndarray:
        found = array.copy()
        if found.size and found.dtype.kind in "iufb":
            found.flat[rng.randrange(found.size)] = np.array(value).astype(found.dtype)
        return found

    changes: tuple[Callable[[], np.ndarray], ...] = (
        lambda: array[:-1] if array.ndim else array[None],
        lambda: array[:0] if array.ndim else np.array([]),
        lambda: array[..., None],
        lambda: np.array(0),
        lambda: array.astype("U") if array.dtype.kind in "iufbU" else array,
        lambda: array.astype(object),  # pickled, so it must not be read
        lambda: np.array(["</script>"] * len(array)) if array.ndim == 1 else array.astype(np.complex64),
        lambda: at_one_place(-1),
        lambda: at_one_place(2**30),
        lambda: at_one_place(float("nan")) if array.dtype.kind == "f" else at_one_place(10**6),
    )
    try:
        return rng.choice(changes)()
    except (ValueError, TypeError, IndexError):
        return np.array([])
