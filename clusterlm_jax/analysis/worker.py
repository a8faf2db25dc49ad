"""A worker process of the evaluator: cells in on stdin, rows out on stdout, both pickled; it ends with its parent.

    python -m clusterlm_jax.analysis.worker

It is a program of its own, so that it imports nothing of the main process: no jax, no second device.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback

from clusterlm_jax.analysis.cells import SklearnBackend
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.records import UserError

BACKENDS = {"sklearn": SklearnBackend}
NICENESS = 10  # training goes first
WATCH_SECONDS = 0.5


def main() -> None:
    os.nice(NICENESS)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    while True:
        try:
            cell, spec, hidden, embeddings = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            [(_, answer)] = BACKENDS[spec.backend](spec, embeddings).score([cell], HiddenStore(hidden))
        except UserError as error:
            answer = str(error)
        except Exception:  # told to whoever asked, who cannot see into this process
            answer = traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


def _die_with(parent: int) -> None:
    """Ends the process even in mid-cell: a restarted run must not meet the ghosts of the killed one."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
