"""What is shown while something runs: a bar whose clock moves, and once how long the rest will take."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.report.words import duration
from clusterlm_jax.training.phase import Phase

TICK = 1.0  # seconds
COMPILING = "compiling"
COMPILED = 2  # epochs of a process that compile, so they are no measure of the pace
Bar = tqdm


@contextlib.contextmanager
def bar(what: str, unit: str, total: int, done: int = 0, state: str = "") -> Iterator[tqdm]:
    """A progress bar. On a terminal its clock moves also while nothing ends; a log would be filled by that.

    Args:
      state: what it says until something else is set, `COMPILING` for example.
    """
    over = threading.Event()
    with tqdm(total=total, initial=done, unit=unit, desc=what, dynamic_ncols=True) as shown:
        shown.set_postfix_str(state)

        def tick() -> None:
            while not over.wait(TICK):
                shown.refresh()

        clock = threading.Thread(target=tick, daemon=True)
        if not shown.disable and shown.fp.isatty():
            clock.start()
        try:
            yield shown
        finally:
            over.set()
            if clock.is_alive():
                clock.join()  # a closed bar must not be drawn again


class Forecast:
    """Says once how long the rest of a training takes, and of the analysis beside it.

    It waits for an epoch that does not compile, and until as many cells are scored as one epoch has: some take seconds,
    others minutes.
    """

    def __init__(self, phase: Phase, evaluator: Evaluator | None, cells: int) -> None:
        """`cells` is how many cells an analysed epoch of one seed has."""
        self._phase, self._evaluator, self._told = phase, evaluator, False
        self._an_epoch = len(phase.seeds) * cells if evaluator is not None else 0
        self._ends: list[tuple[float, int]] = []  # of each epoch of this process: when, and how many cells were scored

    def tell(self, epoch: int) -> None:
        """Call it at the end of each epoch."""
        scored, waiting = 0, 0
        if self._evaluator is not None:
            scored, waiting = self._evaluator.finished, self._evaluator.queued - self._evaluator.finished
        self._ends.append((time.monotonic(), scored))
        (start, scored_before), (now, _) = self._ends[0], self._ends[-1]
        scored -= scored_before
        epochs = self._phase.spec.epochs - epoch
        cells = waiting + self._an_epoch * sum(later > epoch for later in self._phase.analysed)
        if self._told or not epochs or len(self._ends) <= COMPILED or (cells and scored < max(self._an_epoch, 1)):
            return
        rest = epochs * (now - self._ends[COMPILED - 1][0]) / (len(self._ends) - COMPILED)
        words = f"{epochs} epoch{'s' * (epochs > 1)}"
        if cells:
            analysis = cells * (now - start) / scored
            words += f" in {duration(rest)}, and beside them {cells} cells in {duration(analysis)}"
            rest = max(rest, analysis)
        tqdm.write(f"{self._phase.run}: about {duration(rest)} to go ({words}).", file=sys.stderr)
        self._told = True
