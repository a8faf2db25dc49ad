"""What every benchmark shares: sides that take turns, the machine's ceilings, peak memory, and a line to compare later.

A *side* is made by a function without arguments, which prepares all it needs and returns what is timed. Each side lives
in a process of its own, so that its peak memory and its threads are its own. The sides take turns: on a machine that
does other work too, their ratios hold better than their seconds.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

Make = Callable[[], Callable[[], object]]  # prepares a side -> what is timed; a module's function, or a partial of one

REPEATS = 5
MIB = 2**20
# Names of the two ceilings among the results of `in_turns`.
MATMUL, COPY = "ceiling: matrix product", "ceiling: copy"
# Edge of the square matrices, and bytes that are copied: enough to keep a device busy and to leave its caches, and on a
# CPU little enough for a fraction of a second.
CPU, ACCELERATOR = (2048, 64 * MIB), (8192, 2048 * MIB)


class Measured(NamedTuple):
    """A side.

    Attributes:
      seconds: the median of its turns.
      turns: the seconds of each.
      host_mib, device_mib: peak memory of its process, and on its device; None where the system does not tell.
    """

    seconds: float
    turns: tuple[float, ...]
    host_mib: int | None
    device_mib: int | None


def in_turns(sides: Mapping[str, Make], repeats: int = REPEATS) -> dict[str, Measured]:
    """Prepares every side and runs it once untimed, which compiles; then times all of them in turn, `repeats` times."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the processes share one device
    spawn = multiprocessing.get_context("spawn")  # a fork of a process that loaded jax may hang
    with contextlib.ExitStack() as opened:
        processes = {name: opened.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for name in sides}
        for name, make in sides.items():
            processes[name].submit(_prepare, make).result()
        turns = [{name: process.submit(_turn).result() for name, process in processes.items()} for _ in range(repeats)]
        return {
            name: Measured(
                statistics.median(turn[name] for turn in turns),
                tuple(turn[name] for turn in turns),
                *process.submit(_peaks).result(),
            )
            for name, process in processes.items()
        }


def ceilings(dtype: str = "float32") -> dict[str, Make]:
    """The machine's own ceilings as two more sides, which take their turns beside the others; see `ceilings_of`."""
    return {MATMUL: partial(_matmul, dtype), COPY: _copy}


def ceilings_of(measured: Mapping[str, Measured]) -> tuple[float, float]:
    """GFLOP/s of a large matrix product, and GB/s that a copy reads and writes, by the sides of `ceilings`."""
    edge, copied = _sizes()
    return 2 * edge**3 / measured[MATMUL].seconds / 1e9, 2 * copied / measured[COPY].seconds / 1e9


def tell(benchmark: str, measured: Mapping[str, Measured], **facts: Any) -> None:
    """Prints what was measured with the machine, the date and the versions as one JSON line."""
    line = {"benchmark": benchmark, "date": datetime.date.today().isoformat(), **facts}
    print(json.dumps(line | {"sides": {name: side._asdict() for name, side in measured.items()}, "on": machine()}))


def machine() -> dict[str, Any]:
    """The processor, its cores, memory and load, and the versions and devices that `env.json` of a run has too."""
    from clusterlm_jax.experiments import environment

    facts = environment.facts()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        facts["packages"]["torch"] = importlib.metadata.version("torch")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": memory // MIB,
        "load": os.getloadavg()[0],
    } | facts


def mib(count: int | None) -> str:
    return "not told" if count is None else f"{count:,} MiB"


# What a side's process does. Its side is a global of that process.

_side: Callable[[], object]


def _prepare(make: Make) -> None:
    global _side
    _side = make()
    _side()


def _turn() -> float:
    start = time.perf_counter()
    _side()
    return time.perf_counter() - start


def _peaks() -> tuple[int | None, int | None]:
    """Peak memory of this process and on its device, MiB."""
    host = _field("/proc/self/status", "VmHWM")
    return host and int(host.split()[0]) // 1024, _device_peak()


def _device_peak() -> int | None:
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() // MIB
    if jax := sys.modules.get("jax"):
        told = jax.devices()[0].memory_stats() or {}  # None on a CPU
        return told["peak_bytes_in_use"] // MIB if "peak_bytes_in_use" in told else None
    return None


def _field(path: str, name: str) -> str | None:
    """The first value of a name in a file of `name: value` lines of Linux's /proc; None on other systems."""
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return None


def _sizes() -> tuple[int, int]:
    import jax

    return CPU if jax.default_backend() == "cpu" else ACCELERATOR


def _matmul(dtype: str) -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    edge, _ = _sizes()
    a, b = jax.random.normal(jax.random.key(0), (2, edge, edge), dtype)
    product = jax.jit(partial(jnp.matmul, preferred_element_type=jnp.float32))
    return lambda: jax.block_until_ready(product(a, b))


def _copy() -> Callable[[], object]:
    """Negates an array in place: each byte is read once and written once, and no new memory is asked for."""
    import jax
    import jax.numpy as jnp

    negate = jax.jit(jnp.negative, donate_argnums=0)
    held = [jnp.ones(_sizes()[1] // 4)]

    def turn() -> None:
        held[0] = jax.block_until_ready(negate(held[0]))

    return turn
