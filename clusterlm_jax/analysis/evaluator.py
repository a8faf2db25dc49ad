"""Scores cells in worker processes while the training continues."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from clusterlm_jax import preemption
from clusterlm_jax.analysis.cells import splits_of
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.requests import Answer
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.records import Cell, ScoreRow, UserError

T = TypeVar("T")

POLL_SECONDS = 0.2
ATTEMPTS = 3  # at a cell: the system may kill a worker or two when memory is short
PACKAGE_ROOT = Path(__file__).parents[2]
# NPROC is for jax, which a worker may load: on the CPU, where an accelerator belongs to the process that trains.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1")


class WorkerDied(Exception):
    """A worker process ended without an answer."""


class Worker:
    """A process that scores one cell at a time, on one thread.

    One thread, because KMeans is 3 to 8 times faster on it at these sizes, and reproducible only on it
    (scikit-learn#27518). Several cores are used by several workers.
    """

    def __init__(self, spec: AnalysisSpec, hidden: Path, embeddings: Path | None) -> None:
        self._settings, self._seconds = (spec, hidden, embeddings), 60 * spec.cell_minutes
        path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clusterlm_jax.analysis.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
            start_new_session=True,  # so Ctrl-C interrupts only the main process, which then ends its workers
        )

    def score(self, cell: Cell, answered: Sequence[Answer] | None = None) -> tuple[ScoreRow, ...] | str:
        """The rows of a cell, or a message if it could not be scored.

        Args:
          answered: what a central engine answered to the cell; without one the worker clusters itself.

        Raises:
          WorkerDied: if the process ended without an answer, or gave none in `spec.cell_minutes` and was killed.
        """
        limit = threading.Timer(self._seconds, self.kill)
        limit.start()
        try:
            pickle.dump((cell, answered, *self._settings), self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError) as error:
            raise WorkerDied(f"exit code {self._process.wait()}") from error
        finally:
            limit.cancel()
            limit.join()

    def kill(self) -> None:
        """Ends the process. A thread that waits in `score` gets `WorkerDied`."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process and closes its pipes."""
        self.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # closing flushes, and the process may not have read its last cell
            self._process.stdin.close()
        self._process.stdout.close()


class Evaluator:
    """Scores cells in worker processes and appends their rows to the table. A context manager.

    Unless `spec.keep_hidden`, the hidden states of an epoch are deleted when all its cells are in the table.

    Attributes:
      queued: number of cells submitted so far.
      finished: number of those that are in the table.
    """

    def __init__(self, spec: AnalysisSpec, table: ScoreTable, store: HiddenStore, embeddings: Path | None) -> None:
        self._spec, self._table, self._store, self._embeddings = spec, table, store, embeddings
        self._waiting: queue.Queue[tuple[Cell, Sequence[Answer] | None]] = queue.Queue(maxsize=spec.queue)
        self._scorer = Scorer(spec, embeddings)
        # For a central engine: the cells of one submission each, besides those that it is at.
        self._asked: queue.Queue[list[Cell]] = queue.Queue(maxsize=1)
        self._known: set[Cell] = set()
        self._unscored = collections.Counter()  # (run, seed, epoch): submitted cells that are not in the table yet
        self._lock, self._changed = threading.Lock(), threading.Event()  # set when a cell is finished
        self._failure: Exception | None = None
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._workers: list[Worker] = []
        self.queued = self.finished = 0

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def submit(self, cells: Iterable[Cell]) -> None:
        """Queues the cells that are not scored yet. It blocks only while the queue is full (`spec.queue`).

        Submit all cells of an epoch at once: when the submitted ones are scored, the epoch's hidden states are deleted.

        Raises:
          UserError: if a cell could not be scored, or its hidden states were deleted.
        """
        cells = list(dict.fromkeys(cells))
        new = [cell for cell in cells if cell not in self._known and not self._table.done(cell)]
        for cell in new:
            if not all(self._store.has(*_epoch(cell), split) for split in splits_of(cell)):
                raise UserError(
                    f"The cell {cell.name} is not scored, and its hidden states were deleted: "
                    "delete the checkpoints to train again, or use a new --workdir."
                )
        with self._lock:
            self._known.update(new)
            self._unscored.update(_epoch(cell) for cell in new)
            self.queued += len(new)
        for epoch in {_epoch(cell) for cell in cells}:  # a resumed run may have scored all cells of an epoch already
            self._release(epoch)
        if new and not self._threads:
            self._start()
        if new and self._scorer.engine.central:
            self._put(self._asked, new)
        else:
            for cell in new:
                self._put(self._waiting, (cell, None))

    def drain(self, progress: Callable[[int], None] = lambda finished: None) -> None:
        """Waits until every cell is scored, and calls `progress` with the number of scored cells meanwhile.

        Raises:
          UserError: if a cell could not be scored.
        """
        while True:
            self._changed.clear()
            self._raise_failure()
            progress(self.finished)
            if self.finished == self.queued:
                return
            self._changed.wait(POLL_SECONDS)

    def close(self) -> None:
        """Ends the workers. The cells they were working on stay unscored."""
        self._closing = True
        with self._lock:  # workers are killed first: their threads wait for answers and could not be joined otherwise
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.end()
        self._threads, self._workers = [], []

    def _start(self) -> None:
        import joblib  # only to count cores, as far as this process may use them

        count = self._spec.workers or joblib.cpu_count()
        work = [self._serve] * count + [self._cluster] * self._scorer.engine.central
        self._threads = [threading.Thread(target=target, daemon=True) for target in work]
        for thread in self._threads:
            thread.start()

    def _put(self, line: queue.Queue, item: object) -> None:
        # With a timeout, because a full queue stays full if scoring has failed.
        while not self._closing and not preemption.asked.is_set():
            self._raise_failure()
            with contextlib.suppress(queue.Full):
                line.put(item, timeout=POLL_SECONDS)
                return

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        """A thread with one worker process: takes cells until the evaluator closes or a cell cannot be scored."""
        worker = None
        for cell, answered in self._taken(self._waiting):
            with self._failures_noted():
                worker = self._score(cell, answered, worker)

    def _cluster(self) -> None:
        """The thread of a central engine: asks it about all cells of a submission, then leaves them to the workers."""
        for cells in self._taken(self._asked):
            with self._failures_noted():
                for answered in self._scorer.answers(cells, self._store):
                    self._put(self._waiting, answered)

    def _taken(self, line: queue.Queue[T]) -> Iterator[T]:
        """What comes in a queue, until the evaluator closes or a cell cannot be scored."""
        while not self._closing and self._failure is None:
            with contextlib.suppress(queue.Empty):
                yield line.get(timeout=POLL_SECONDS)

    @contextlib.contextmanager
    def _failures_noted(self) -> Iterator[None]:
        """What fails inside is raised in the main thread, which would otherwise wait for ever."""
        try:
            yield
        except Exception as error:
            if not self._closing:
                self._failure = error
                self._changed.set()

    def _score(self, cell: Cell, answered: Sequence[Answer] | None, worker: Worker | None) -> Worker:
        """Scores a cell, with a new worker where the old one is dead or there is none. Returns the worker in use."""
        for attempt in range(ATTEMPTS):
            try:
                worker = worker or self._hire()
                rows = worker.score(cell, answered)
            except WorkerDied as death:
                worker = self._bury(worker)
                if self._closing:
                    raise
                logging.warning("A worker died (%s) on %s, attempt %d.", death, cell.name, attempt + 1)
                continue
            if isinstance(rows, str):
                raise UserError(f"The cell {cell.name} could not be scored: {rows}")
            with self._lock:  # one thread at a time writes to the table
                self._table.append(cell, rows)
                self.finished += 1
                self._unscored[_epoch(cell)] -= 1
            self._release(_epoch(cell))
            self._changed.set()
            return worker
        raise UserError(
            f"The cell {cell.name} lost its worker {ATTEMPTS} times: is memory short, or eval.cell_minutes?"
        )

    def _hire(self) -> Worker:
        """Starts a worker and lists it for `close`, under the lock: no worker starts after `close` has killed all."""
        with self._lock:
            if self._closing:
                raise WorkerDied("closing")
            worker = Worker(self._spec, self._store.directory, self._embeddings)
            self._workers.append(worker)
            return worker

    def _bury(self, worker: Worker | None) -> None:
        """Removes a dead worker."""
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
                worker.end()

    def _release(self, epoch: tuple[str, int, int]) -> None:
        """Deletes the hidden states of an epoch once all its cells are in the table."""
        if not self._spec.keep_hidden and self._unscored[epoch] == 0:
            self._store.delete(*epoch)


def _epoch(cell: Cell) -> tuple[str, int, int]:
    """The key under which the store keeps the states of a cell's epoch."""
    return cell.run, cell.seed, cell.epoch
