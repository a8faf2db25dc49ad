"""A machine that is taken away: SIGTERM comes, a training saves its state, and the process ends.

Only a training has anything to save. What other stages have finished is on disk already, so those end at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_SECONDS = 25.0  # of the 30 that clouds and Slurm give between SIGTERM and the end
WATCH_SECONDS = 0.5  # between two looks at whether a parent is there
START_AGAIN = 75  # the exit code EX_TEMPFAIL of sysexits.h: what failed now may go on later

asked = threading.Event()  # whether this process was told to end; a training looks at it after every epoch
_unsaved = threading.Lock()


@contextmanager
def held_off() -> Iterator[None]:
    """Inside, the end of the process is held off until what runs there has saved its work and left."""
    with _unsaved:
        yield
    if asked.is_set():
        threading.Event().wait()  # for the end of the process, which `saved` lets come: nothing else is begun


def end_too() -> None:
    """Ends this process as if it had been told to: another one that it trains with was, and none can go on alone."""
    if not asked.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        asked.wait()


def saved() -> bool:
    """Asks what holds off the end to save its work, and waits; whether it did so within the grace period."""
    asked.set()
    return _unsaved.acquire(timeout=GRACE_SECONDS)


def end_with(parent: int) -> None:
    """Watches the parent, and ends this process when it has died, whatever the process does. For a thread.

    Otherwise workers of a killed run would still be working when the run is started again.
    """
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
