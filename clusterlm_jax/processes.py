"""Several processes that train one model together, on one host or several: how they join, and which of them writes.

Each runs the same command. They do the same steps, each on its own devices; jax carries sums between them. The first
one leads: it alone writes rows, and analyses. The others follow it with a copy of the work directory's small files.
Without `join`, a process is alone and leads, and nothing here loads jax.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from clusterlm_jax.records import UserError

# Set by hand where jax does not find the others itself, as it does in a Slurm step and on a Cloud TPU slice.
VARIABLES = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
PATIENCE = 7 * 24 * 3600  # seconds; the first process may have to wait for its analysis before it is done with training

_several = False  # set once, by `join`


def join() -> None:
    """Waits until all processes are there. Before it, nothing may have asked jax for a device.

    Raises:
      UserError: jax finds no other processes, or does not reach them.
    """
    global _several
    import jax

    try:
        given = {name: int(os.environ[variable]) for name, variable in VARIABLES.items() if variable in os.environ}
        jax.distributed.initialize(**given, shutdown_timeout_seconds=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"--distributed does not find the other processes ({str(error).splitlines()[0].rstrip('.')}): start it by "
            "srun with several tasks, on every host of a Cloud TPU slice, or set JAX_COORDINATOR_ADDRESS, "
            f"{' and '.join(VARIABLES.values())}."
        ) from error
    # jax has taken SIGTERM for itself, to have all hosts save at one step. So do we (`any_of`), and then they also end.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    _several = True
    atexit.register(_leave)
    if not leads():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
        os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported


def refuse(reason: str) -> None:
    """Raises `UserError` where there are several processes."""
    if _several:
        raise UserError(f"{reason}: leave out --distributed.")


def leads() -> bool:
    """Whether this is the process that writes."""
    if not _several:
        return True
    import jax

    return jax.process_index() == 0


def meet(where: str) -> None:
    """Waits until all processes are here."""
    if _several:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(where)


def any_of(here: bool) -> bool:
    """Whether something holds in any of the processes. All of them ask, at the same point."""
    if not _several:
        return here
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(here).any())


def part() -> None:
    """Waits until all processes are here, and needs the others no more."""
    if _several:
        import jax

        jax.distributed.shutdown()  # a second time it does nothing


@contextlib.contextmanager
def ended_together() -> Iterator[None]:
    """Tells in a sentence that another process has ended."""
    if not _several:
        yield
        return
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"This process or one that it trains with failed ({str(error).splitlines()[0][:200].rstrip('.')}): start "
            "all of them again with the same command, and they go on from the last checkpoint."
        ) from error


def _leave() -> None:
    """Ends a process that failed. jax would wait for the others first, and they wait for this one."""
    import jax

    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)
