"""Has cells scored while the training continues, and keeps their rows."""

from __future__ import annotations

import collections
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import NamedTuple, TypeVar

import joblib  # only to count cores

from clusterlm_jax import preemption
from clusterlm_jax.analysis.cells import splits_of
from clusterlm_jax.analysis.executors.answering import answer
from clusterlm_jax.analysis.executors.pool import Pool
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.requests import Answer
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.records import Cell, ScoreRow, UserError

T = TypeVar("T")

POLL_SECONDS = 0.2
ATTEMPTS = 3  # at a cell: the system may kill a worker or two when memory is short


class _Try(NamedTuple):
    """An attempt at a cell that has ended."""

    cell: Cell
    answered: Sequence[Answer] | None
    attempt: int
    future: Future[tuple[ScoreRow, ...] | str]


class Evaluator:
    """Has cells scored by an executor and appends their rows to the table. A context manager.

    Unless `spec.keep_hidden`, the hidden states of an epoch are deleted when all its cells are in the table.

    Args:
      executor: any executor of `concurrent.futures`, shut down at the end. Its workers see the directory of the states,
        and have one thread each. None opens that of the spec: worker processes of this machine, or a Dask cluster.

    Attributes:
      queued: number of cells submitted so far.
      finished: number of those that are in the table.
    """

    def __init__(
        self,
        spec: AnalysisSpec,
        table: ScoreTable,
        store: HiddenStore,
        embeddings: Path | None,
        executor: Executor | None = None,
    ) -> None:
        self._spec, self._table, self._store, self._embeddings = spec, table, store, embeddings
        self._executor = executor
        self._count = spec.workers or joblib.cpu_count()  # of cores, as far as this process may use them
        self._room = threading.Semaphore(spec.queue + self._count)  # for cells that wait or are being scored
        self._ended: queue.SimpleQueue[_Try] = queue.SimpleQueue()
        self._scorer = Scorer(spec, embeddings)
        # For a central engine: the cells of one submission each, besides those that it is at.
        self._asked: queue.Queue[list[Cell]] = queue.Queue(maxsize=1)
        self._known: set[Cell] = set()
        self._unscored = collections.Counter()  # (run, seed, epoch): submitted cells that are not in the table yet
        self._lock, self._changed = threading.Lock(), threading.Event()  # set when a cell is finished
        self._failure: Exception | None = None
        self._closing = False
        self._threads: list[threading.Thread] = []
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
            self._wait_for(lambda: self._asked.put(new, timeout=POLL_SECONDS))
        else:
            for cell in new:
                self._hand_over(cell, None)

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
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _start(self) -> None:
        if self._executor is None:
            self._executor = executor_of(self._spec, self._count)
        work = [self._collect] + [self._cluster] * self._scorer.engine.central
        self._threads = [threading.Thread(target=target, daemon=True) for target in work]
        for thread in self._threads:
            thread.start()

    def _wait_for(self, step: Callable[[], bool | None]) -> bool:
        """Tries a step, which waits for a moment, until it succeeds; whether it did.

        A step that waited without end would do so where scoring has failed: then no room comes free.
        """
        while not self._closing and not preemption.asked.is_set():
            self._raise_failure()
            with contextlib.suppress(queue.Full):
                if step() is not False:
                    return True
        return False

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _hand_over(self, cell: Cell, answered: Sequence[Answer] | None) -> None:
        """Has a cell scored once there is room for it."""
        if self._wait_for(lambda: self._room.acquire(timeout=POLL_SECONDS)):
            self._try(cell, answered, 1)

    def _try(self, cell: Cell, answered: Sequence[Answer] | None, attempt: int) -> None:
        future = self._executor.submit(answer, cell, answered, self._spec, self._store.directory, self._embeddings)
        # Some thread of the executor calls back; it must not wait for the disk.
        future.add_done_callback(lambda future: self._ended.put(_Try(cell, answered, attempt, future)))

    def _cluster(self) -> None:
        """The thread of a central engine: asks it about all cells of a submission, then leaves them to the workers."""
        for cells in self._taken(self._asked):
            with self._failures_noted():
                for cell, answered in self._scorer.answers(cells, self._store):
                    self._hand_over(cell, answered)

    def _collect(self) -> None:
        """The thread that writes to the table."""
        for ended in self._taken(self._ended):
            with self._failures_noted():
                self._finish(ended)

    def _taken(self, line: queue.Queue[T] | queue.SimpleQueue[T]) -> Iterator[T]:
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

    def _finish(self, ended: _Try) -> None:
        """Appends the rows of a cell, or has it scored again if its worker died."""
        cell, answered, attempt, future = ended
        try:
            rows = future.result()
        except Exception as death:  # what is wrong with a cell is told in words, so this is the worker
            logging.warning("A worker died (%s) on %s, attempt %d.", death, cell.name, attempt)
            if attempt == ATTEMPTS:
                raise UserError(
                    f"The cell {cell.name} lost its worker {ATTEMPTS} times ({death}): "
                    "is memory short, or eval.cell_minutes?"
                ) from death
            self._try(cell, answered, attempt + 1)
            return
        if isinstance(rows, str):
            raise UserError(f"The cell {cell.name} could not be scored: {rows}")
        self._table.append(cell, rows)
        with self._lock:
            self.finished += 1
            self._unscored[_epoch(cell)] -= 1
        self._room.release()
        self._release(_epoch(cell))
        self._changed.set()

    def _release(self, epoch: tuple[str, int, int]) -> None:
        """Deletes the hidden states of an epoch once all its cells are in the table."""
        if not self._spec.keep_hidden and self._unscored[epoch] == 0:
            self._store.delete(*epoch)


def executor_of(spec: AnalysisSpec, count: int) -> Executor:
    """The executor that `spec.scheduler` asks for: `count` worker processes of this machine, or a Dask cluster.

    Raises:
      UserError: Dask is not installed, or its scheduler does not answer.
    """
    seconds = 60 * spec.cell_minutes
    if not spec.scheduler:
        return Pool(count, seconds)
    from clusterlm_jax.analysis.executors.dask import DaskExecutor  # Dask is an extra, and takes a second to import

    return DaskExecutor(spec.scheduler, seconds)


def _epoch(cell: Cell) -> tuple[str, int, int]:
    """The key under which the store keeps the states of a cell's epoch."""
    return cell.run, cell.seed, cell.epoch
