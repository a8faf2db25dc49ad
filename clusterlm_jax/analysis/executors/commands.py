"""Command lines of the main program, such as the points of a grid, in the workers of a Dask cluster.

Each wants a whole machine, so a Dask worker runs one at a time, in a process of its own. Dask hands a worker as many as
that has threads: with one thread each (`dask worker --nthreads=1`), none waits while another worker is free.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from distributed import Client, Future, as_completed, get_worker

from clusterlm_jax.analysis.executors.dask import other_versions, versions
from clusterlm_jax.analysis.executors.pool import PACKAGE_ROOT
from clusterlm_jax.records import UserError

# The main program. It ends with the Dask worker, so that its directory is free when Dask begins it again elsewhere.
PROGRAM = """
import os, runpy, threading
from clusterlm_jax import preemption
threading.Thread(target=preemption.end_with, args=(os.getppid(),), daemon=True).start()
runpy.run_module("clusterlm_jax.main", run_name="__main__", alter_sys=True)
"""
TOLD = "clusterlm_jax: "  # how its sentence for the user begins
RETRIES = 3  # of a command whose process was killed or told to end; it goes on from its checkpoint
POLL_SECONDS = 0.5

_machine = threading.Lock()  # of a Dask worker: held by the command that it runs


class Ended(NamedTuple):
    """How a command ended: its exit code, and what its last sentence for the user says."""

    code: int
    told: str


def ended(client: Client, commands: Mapping[str, Sequence[str]], directory: Path) -> Iterator[tuple[str, Ended]]:
    """Has commands run in the current directory, and yields each with how it ended. It prints to `directory/NAME.log`.

    Args:
      commands: the flags of the main program, by name.
    """
    place, futures = Path.cwd(), {}
    for name, words in commands.items():
        given = versions(), place, words, directory / f"{name}.log"
        # A key of this call's own: a command that ended with an error may end otherwise now.
        future = client.submit(_run, *given, key=f"{name}-{uuid.uuid4().hex}", retries=RETRIES)
        futures[future] = name
    for future in as_completed(futures, loop=client.loop):
        yield futures[future], _outcome(future)


def _outcome(future: Future) -> Ended:
    try:
        return future.result()
    except Exception as error:  # Dask's, for workers that died, and what a lost connection raises
        return Ended(1, str(error).splitlines()[0])


def _run(expected: Mapping[str, str], place: Path, words: Sequence[str], log: Path) -> Ended:
    """In a Dask worker: runs a command to its end, or until nobody waits for it any longer."""
    if differing := other_versions(expected):
        return Ended(2, differing)
    worker = get_worker()
    key = worker.get_current_task()
    with _machine:
        process = _started(place, words, log)
        try:
            while process.poll() is None:
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":  # the process that asked has ended
                    process.terminate()  # it saves its state first
                    process.wait()
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    told = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(TOLD)]
    end = Ended(process.returncode, told[-1].removeprefix(TOLD) if told else f"exit code {process.returncode}")
    if end.code not in (0, 2):
        raise RuntimeError(end.told)  # so that Dask begins it again
    return end


def _started(place: Path, words: Sequence[str], log: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words],
                cwd=place,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the Dask worker, which this process notices to be gone
            )
    except OSError as error:
        raise UserError(f"a Dask worker does not see {error.filename}: a grid needs a disk that all share") from error
