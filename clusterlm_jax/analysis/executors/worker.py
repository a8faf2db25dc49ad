"""A worker process. It reads pickled calls from stdin and writes pickled results to stdout.

    .venv/bin/python -m clusterlm_jax.analysis.executors.worker

Why a program of its own: multiprocessing would import the main module again, and jax with it, and forking after jax has
started can hang. The worker ends with its parent.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading

from clusterlm_jax.analysis.executors import answering  # noqa: F401 - its seconds pass while the parent prepares cells
from clusterlm_jax.preemption import end_with

NICENESS = 10  # training has priority


def main() -> None:
    os.nice(NICENESS)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # stdout now goes to stderr, so that nothing a library prints gets between the answers
    while True:
        try:
            function, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            pickle.dump(function(*arguments), answers)
            answers.flush()
        except BrokenPipeError:  # nobody reads the answer any more: the parent was killed
            os._exit(1)  # without another flush, which would fail again and say so


if __name__ == "__main__":
    main()
