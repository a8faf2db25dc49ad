"""A Dask cluster as an executor: its workers see the work directory on a disk that they share with this process.

    dask scheduler                        # on one machine; it tells its address
    dask worker tcp://HOST:8786           # on every machine, where the same versions of everything are installed

A call runs in a process of its own, kept by the Dask worker: as in `pool`, on one thread, whatever the threads of the
Dask worker do; it may crash or hang without harm to it; and jax, which it may load, stays on the CPU.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import platform
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from clusterlm_jax.analysis.executors.pool import PACKAGE_ROOT, Workers
from clusterlm_jax.records import UserError

if TYPE_CHECKING:
    from distributed import Client

ANSWERS_WITHIN = 30  # seconds, of a scheduler
REST_SECONDS = 60  # a Dask worker is not told when a run has ended: its free processes end by themselves
PACKAGES = ("jax", "numpy", "scipy", "scikit-learn")  # what rows are made with

_workers = Workers(REST_SECONDS)  # of a Dask worker, for all of its threads


def check_dask() -> None:
    """Raises `UserError` where Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UserError("eval.scheduler needs Dask: pip install distributed, or clusterlm_jax[dask].") from error


def connect(address: str) -> Client:
    """A connection to a scheduler.

    Raises:
      UserError: Dask is not installed, or no scheduler answers there.
    """
    check_dask()
    from distributed import Client

    # What goes wrong is told in a sentence; Dask would log a traceback besides.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # no connection; no such protocol; no certificates
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise UserError(
            f"No Dask scheduler answers at eval.scheduler = {address!r} ({reason}); "
            "it must be the address that `dask scheduler` tells, such as tcp://HOST:8786."
        ) from error


class DaskExecutor(Executor):
    """Calls functions, which must be those of this package, in the workers of a cluster.

    A call whose Dask worker ends is begun again on another one, by Dask, and fails with `distributed.KilledWorker` when
    that happened too often.

    Args:
      seconds: that a call may take.

    Raises:
      UserError: as `connect`.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self._address, self._seconds, self._client = address, seconds, connect(address)
        self._calls = self._client.get_executor(pure=False)  # a call that is made again is made anew

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """As of every executor.

        Raises:
          UserError: the scheduler is gone.
        """
        if self._client.status != "running":
            raise UserError(f"The Dask scheduler {self._address} is gone; the same command goes on with another one.")
        return self._calls.submit(_in_worker, versions(), self._seconds, function, *arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of every executor. What runs in the cluster goes on to its end with `cancel_futures`, for nobody."""
        if self._client.status == "running":
            self._calls.shutdown(wait and not cancel_futures)
        self._client.close()


@functools.cache
def versions() -> Mapping[str, str]:
    """What rows depend on: the sources of this package, as a checksum, and the versions of what it computes with."""
    sources = sorted((PACKAGE_ROOT / "clusterlm_jax").rglob("*.py"))
    own = zlib.crc32(b"".join(path.read_bytes() for path in sources))
    return {"clusterlm_jax": f"{own:08x}"} | {name: importlib.metadata.version(name) for name in PACKAGES}


def other_versions(expected: Mapping[str, str]) -> str | None:
    """A sentence, in a Dask worker whose versions are not those of the process that asks."""
    there = versions()
    differing = [f"{name} {there[name]} (not {wanted})" for name, wanted in expected.items() if there[name] != wanted]
    if not differing:
        return None
    return f"the Dask worker on {platform.node()} has {', '.join(differing)}: install the same there."


def _in_worker(expected: Mapping[str, str], seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """A call in a Dask worker."""
    return other_versions(expected) or _workers.call(seconds, function, *arguments)
