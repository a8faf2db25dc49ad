"""A worker process of the evaluator. It reads pickled cells from stdin and writes pickled rows to stdout.

    .venv/bin/python -m clusterlm_jax.analysis.worker

Why a program of its own: multiprocessing would import the main module again, and jax with it, and forking after jax has
started can hang. The worker ends with its parent.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.requests import Answer
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import Cell, ScoreRow, UserError

NICENESS = 10  # training has priority
WATCH_SECONDS = 0.5


def main() -> None:
    os.nice(NICENESS)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # stdout now goes to stderr, so that nothing a library prints gets between the answers
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            pickle.dump(_answer(*question), answers)
            answers.flush()
        except BrokenPipeError:  # nobody reads the answer any more: the parent was killed
            os._exit(1)  # without another flush, which would fail again and say so


def _answer(
    cell: Cell, answered: Sequence[Answer] | None, spec: AnalysisSpec, hidden: Path, embeddings: Path | None
) -> tuple[ScoreRow, ...] | str:
    """The rows of a cell, or what went wrong in words. If nothing is `answered` yet, this process clusters too."""
    try:
        scorer, states = Scorer(spec, embeddings), HiddenStore(hidden)
        if answered is not None:
            return scorer.rows(cell, states, answered)
        [(_, rows)] = scorer.score([cell], states)
        return rows
    except (UserError, OSError) as error:  # a full disk
        return str(error)
    except Exception:  # the evaluator reports it; it cannot see this process's errors otherwise
        return traceback.format_exc()


def _die_with(parent: int) -> None:
    """Ends this process when its parent has died, even in the middle of a cell.

    Otherwise workers of a killed run would still be working when the run is restarted.
    """
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
