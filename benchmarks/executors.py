"""What an executor costs for each cell: calls that do nothing, in worker processes here and in a Dask cluster here.

    .venv/bin/python -m benchmarks.executors [CALLS] [--workers=N]

The calls are made one after another, and all at once. The cluster has a scheduler and N Dask workers of one thread on
this machine, so what a network adds is not in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from clusterlm_jax.analysis.executors.dask import DaskExecutor, check_dask
from clusterlm_jax.analysis.executors.pool import Pool

SECONDS = 60.0  # that a call may take


def here(workers: int) -> Executor:
    return Pool(workers, SECONDS)


def dask(workers: int) -> Executor:
    from distributed import LocalCluster

    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
    executor = DaskExecutor(cluster.scheduler_address, SECONDS)
    executor.keeps = cluster  # else it would be closed now
    return executor


def in_turn(opened: Callable[[], Executor], calls: int) -> Callable[[], object]:
    executor = opened()
    return lambda: [executor.submit(os.getpid).result() for _ in range(calls)]


def at_once(opened: Callable[[], Executor], calls: int) -> Callable[[], object]:
    executor = opened()
    return lambda: [future.result() for future in [executor.submit(os.getpid) for _ in range(calls)]]


def measure(calls: int, workers: int) -> None:
    check_dask()
    sides = {}
    for name, opened in (("worker processes", here), ("Dask, on this machine", dask)):
        sides[f"{name}, one after another"] = partial(in_turn, partial(opened, workers), calls)
        sides[f"{name}, all at once"] = partial(at_once, partial(opened, workers), calls)
    measured = measuring.in_turns(sides)
    print(f"{'':42} {'ms a call':>10}")
    for name, of in measured.items():
        print(f"{name:42} {1000 * of.seconds / calls:10.2f}")
    measuring.tell("executors", measured, calls=calls, workers=workers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("executors", __doc__)
    parser.add_argument("calls", nargs="?", type=whole, default=300, metavar="CALLS", help="in each turn")
    parser.add_argument("--workers", type=whole, default=2, metavar="N", help="worker processes, and Dask workers")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
