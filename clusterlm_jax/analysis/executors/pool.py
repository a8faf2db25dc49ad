"""Worker processes on this machine, each on one thread: the executor of a run, unless it is given another one.

Why not a pool of a library: joblib's loky and `concurrent.futures.ProcessPoolExecutor` were tried. When one worker is
killed, both fail every call that runs or waits, and do not tell which one it was. Neither ends a call that hangs, and
loky's workers outlive a parent that is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).parents[3]
# NPROC is for jax, which a worker may load: on the CPU, where an accelerator belongs to the process that trains.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1")


class WorkerDied(BrokenExecutor):
    """A worker process ended without an answer."""


class Worker:
    """A process that does one call at a time, on one thread.

    One thread, because KMeans is 3 to 8 times faster on it at these sizes, and reproducible only on it
    (scikit-learn#27518). Several cores are used by several workers.
    """

    def __init__(self) -> None:
        path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clusterlm_jax.analysis.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
            start_new_session=True,  # so Ctrl-C interrupts only the main process, which then ends its workers
        )

    def call(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that can be imported; it may raise nothing.

        Raises:
          WorkerDied: if the process ended without an answer, or gave none in so many seconds and was killed.
        """
        limit = threading.Timer(seconds, self.kill)
        limit.start()
        try:
            pickle.dump((function, *arguments), self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError) as error:
            raise WorkerDied(f"exit code {self._process.wait()}") from error
        finally:
            limit.cancel()
            limit.join()

    def kill(self) -> None:
        """Ends the process. A thread that waits in `call` gets `WorkerDied`."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process and closes its pipes."""
        self.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # closing flushes, and the process may not have read its last call
            self._process.stdin.close()
        self._process.stdout.close()


class Workers:
    """Worker processes for any number of threads: each call takes one that is free, or starts one.

    Args:
      rest_seconds: how long a free worker is kept; None keeps it until `end`.
    """

    def __init__(self, rest_seconds: float | None = None) -> None:
        self._rest_seconds, self._lock, self._ended = rest_seconds, threading.Lock(), False
        self._busy: set[Worker] = set()
        self._free: dict[Worker, threading.Timer | None] = {}  # with what ends them when they have rested

    def call(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `Worker.call`.

        Raises:
          WorkerDied: as there, or after `end`.
        """
        worker = self._taken()
        try:
            result = worker.call(seconds, function, *arguments)
        except BaseException:
            with self._lock:
                self._busy.remove(worker)
            worker.end()
            raise
        self._give_back(worker)
        return result

    def end(self) -> None:
        """Ends all workers. Their calls raise `WorkerDied`."""
        with self._lock:
            self._ended = True
            for worker in self._busy:  # its own thread closes it
                worker.kill()
            free, self._free = self._free, {}
        for worker, rest in free.items():
            if rest:
                rest.cancel()
            worker.end()

    def _taken(self) -> Worker:
        with self._lock:  # no worker starts after `end` has killed all
            if self._ended:
                raise WorkerDied("closing")
            worker, rest = self._free.popitem() if self._free else (Worker(), None)
            self._busy.add(worker)
        if rest:
            rest.cancel()
        return worker

    def _give_back(self, worker: Worker) -> None:
        rest = self._rest_seconds and threading.Timer(self._rest_seconds, self._retire, [worker])
        with self._lock:
            self._busy.remove(worker)
            self._free[worker] = rest
        if rest:
            rest.daemon = True
            rest.start()

    def _retire(self, worker: Worker) -> None:
        with self._lock:
            if self._free.get(worker) is not threading.current_thread():  # it was taken again meanwhile
                return
            del self._free[worker]
        worker.end()


class Pool(ThreadPoolExecutor):
    """An executor of `count` threads, each of which waits for a worker process.

    Args:
      seconds: that a call may take.
    """

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__(count)
        self._seconds, self._workers = seconds, Workers()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        return super().submit(self._workers.call, self._seconds, function, *arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of every executor; what runs is ended too with `cancel_futures`."""
        if cancel_futures:
            self._workers.end()  # first: their threads wait for answers and could not be joined otherwise
        super().shutdown(wait, cancel_futures=cancel_futures)
        self._workers.end()
