"""What checksums cost: of a layer of hidden states that a worker reads, and of a state that a training saves.

    .venv/bin/python -m benchmarks.checksums [MIB]

The state has as many bytes as the layer. At the paper's size a layer of a split is 3 MiB, a state 490 MiB.
"""

from __future__ import annotations

import collections
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import command_line
from benchmarks.command_line import whole

WIDTH = 1024
REPEATS = 7


def _states(mib: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(mib * 2**20 // (4 * WIDTH), WIDTH)).astype(np.float32)


def _reading(checked: bool, mib: int) -> Callable[[], object]:
    from clusterlm_jax.analysis.hidden_store import _checked, _crc_of

    directory = tempfile.TemporaryDirectory()
    path, states = Path(directory.name) / "0.npy", _states(mib)
    with path.open("wb") as file:
        np.save(file, states)
        file.write(_crc_of(states))
    read = _checked if checked else np.load
    return lambda: (read(path), directory)  # the directory stays as long as it is read


def _saving(checked: bool, mib: int) -> Callable[[], object]:
    import jax

    from clusterlm_jax.training.checkpoints import Checkpoints, sum_of

    directory = tempfile.TemporaryDirectory()
    state = jax.device_put({"params": _states(mib)})
    if checked:
        return lambda: (sum_of(state, {}), directory)

    epochs = itertools.count()

    def save() -> None:
        with Checkpoints(Path(directory.name), ()) as checkpoints:
            checkpoints.save_last(next(epochs), state, {})

    return save


def measure(mib: int) -> None:
    sides = {
        "reading without": _reading(False, mib),
        "reading with the checksum": _reading(True, mib),
        "checkpoint, its checksum included": _saving(False, mib),
        "checksum of the checkpoint": _saving(True, mib),
    }
    times = collections.defaultdict(list)
    for _ in range(REPEATS):  # in turn: a machine that does other work too slows all of them alike
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        print(f"{name}: {1000 * statistics.median(seconds):,.1f} ms for {mib} MiB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("checksums", __doc__)
    parser.add_argument("mib", nargs="?", type=whole, default=64, metavar="MIB", help="size of the arrays")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
