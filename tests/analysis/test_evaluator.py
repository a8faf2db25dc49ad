"""The evaluator gives the rows of a direct call to the backend, whatever happens to its workers."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterlm_jax import preemption
from clusterlm_jax.analysis import evaluator as room
from clusterlm_jax.analysis.cells import job_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.executors.pool import Worker
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable, read_rows
from clusterlm_jax.records import Cell, ScoreRow, UserError

PATIENCE_SECONDS = 60
Fill = Callable[..., HiddenStore]


def evaluator_at(place: Path, spec: AnalysisSpec) -> Evaluator:
    table = ScoreTable(place / "scores.csv", spec)
    return Evaluator(spec, table, HiddenStore(place / "hidden"), place / "embeddings")


def rows_at(place: Path, cells: list[Cell] | None = None) -> list[tuple]:
    """The sorted rows of a table: all, or those of some cells."""
    wanted = cells and {(cell.split, cell.layer, cell.job) for cell in cells}
    return sorted(
        dataclasses.astuple(row)
        for row in read_rows(place / "scores.csv")
        if wanted is None or (row.split, row.layer, job_of(row.reducer, row.score)) in wanted
    )


@pytest.fixture
def some(cells: list[Cell]) -> list[Cell]:
    """18 of the cells, two of every job: enough for tests with real workers."""
    return [cell for cell in cells if cell.split == "validation" and cell.layer != "final_norm"]


def has_states(place: Path, epoch: int = 0) -> bool:
    return HiddenStore(place / "hidden").has("main", 0, epoch, "validation")


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Checks after each test that no thread and no worker process of an evaluator is left."""
    threads, hired, construct = set(threading.enumerate()), [], Worker.__init__

    def remember(worker: Worker) -> None:
        construct(worker)
        hired.append(worker)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "__init__", remember)
        yield
    assert set(threading.enumerate()) <= threads
    assert [worker._process.returncode for worker in hired if worker._process.returncode is None] == []


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, rows_of: Callable[..., tuple[ScoreRow, ...]]) -> type:
    """Workers in this process that answer at once or when `gate` opens, for tests that need no real processes."""

    class InProcess(ThreadPoolExecutor):
        gate = threading.Event()
        opened = 0

        def __init__(self, *settings: object) -> None:
            InProcess.opened += 1
            super().__init__(1)

        def submit(self, function: Callable, cell: Cell, *_: object) -> Future:
            return super().submit(lambda: self.gate.wait(PATIENCE_SECONDS) and rows_of(cell))

        def shutdown(self, **settings: bool) -> None:
            self.gate.set()
            super().shutdown(**settings)

    monkeypatch.setattr(room, "executor_of", InProcess)
    InProcess.gate.set()
    return InProcess


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def process_of(evaluator: Evaluator) -> subprocess.Popen:
    workers = evaluator._executor._workers
    [worker] = [*workers._busy, *workers._free]
    return worker._process


def test_rows_equal_those_of_a_direct_call(
    undisturbed: Path, spec: AnalysisSpec, cells: list[Cell], tmp_path: Path
) -> None:
    """To the last bit. Breaks when a worker has other settings, another seed, or more threads."""
    direct = Scorer(spec, tmp_path).score(cells, HiddenStore(undisturbed / "hidden"))
    assert rows_at(undisturbed) == sorted(dataclasses.astuple(row) for _, rows in direct for row in rows)


def test_any_executor_does(place: Path, undisturbed: Path, spec: AnalysisSpec, some: list[Cell]) -> None:
    """A pool of threads, for one; it is shut down at the end."""
    quick = [cell for cell in some if cell.job in ("raw", "geometry", "tree")]
    store, threads = HiddenStore(place / "hidden"), ThreadPoolExecutor(1)
    with Evaluator(spec, ScoreTable(place / "scores.csv", spec), store, None, threads) as evaluator:
        evaluator.submit(quick)
        evaluator.drain()
    assert rows_at(place) == rows_at(undisturbed, quick)
    with pytest.raises(RuntimeError, match="after shutdown"):
        threads.submit(print)


def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    place: Path, undisturbed: Path, spec: AnalysisSpec, some: list[Cell], caplog: pytest.LogCaptureFixture
) -> None:
    """Killed in the middle of a cell, whose answer then never comes, and killed while idle, before the next cell."""
    caplog.set_level(logging.WARNING)
    with evaluator_at(place, dataclasses.replace(spec, keep_hidden=True)) as evaluator:
        evaluator.submit(some[:6])
        wait_until(lambda: evaluator.finished >= 1)
        os.kill(process_of(evaluator).pid, signal.SIGKILL)
        evaluator.drain()
        assert any(cell.name in caplog.text for cell in some[1:6])
        idle = process_of(evaluator)
        os.kill(idle.pid, signal.SIGKILL)
        idle.wait()
        evaluator.submit(some[6:])
        evaluator.drain()
        assert f"exit code -9) on {some[6].name}, attempt 1" in caplog.text
    assert rows_at(place) == rows_at(undisturbed, some)


def test_closing_early_leaves_the_rest_to_the_next_evaluator(
    place: Path, undisturbed: Path, spec: AnalysisSpec, some: list[Cell]
) -> None:
    with evaluator_at(place, spec) as first:
        first.submit(some)
        wait_until(lambda: first.finished >= 2)
    assert 2 <= first.finished < first.queued
    assert has_states(place)
    with evaluator_at(place, spec) as second:
        second.submit(some)
        assert second.queued == len(some) - first.finished
        second.drain()
    assert rows_at(place) == rows_at(undisturbed, some)
    assert not has_states(place)


def test_a_worker_that_always_dies_gives_a_user_error(
    place: Path, spec: AnalysisSpec, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with evaluator_at(place, spec) as evaluator:
        evaluator.submit(cells[:1])
        with pytest.raises(UserError, match=rf"{cells[0].name} lost its worker 3 times \(exit code 1\)"):
            evaluator.drain()
        with pytest.raises(UserError, match="lost its worker"):
            evaluator.submit(cells)


def test_damaged_states_give_a_user_error(place: Path, spec: AnalysisSpec, cells: list[Cell]) -> None:
    (place / "hidden/main/seed=0/epoch=0000/training_subset/0.npy").write_bytes(b"\x93NUMPY")
    with evaluator_at(place, spec) as evaluator:
        evaluator.submit(cells[:1])
        with pytest.raises(UserError, match=rf"{cells[0].name} could not be scored: .*0\.npy cannot be read"):
            evaluator.drain()
    assert has_states(place)


def test_an_unexpected_error_is_raised_at_once(
    place: Path, spec: AnalysisSpec, cells: list[Cell], in_process: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(ScoreTable, "append", fail)
    with evaluator_at(place, spec) as evaluator:
        evaluator.submit(cells[:1])
        with pytest.raises(ZeroDivisionError, match="unforeseen"):
            evaluator.drain()


def test_done_cells_are_skipped_and_start_no_worker(
    undisturbed: Path, spec: AnalysisSpec, cells: list[Cell], in_process: type
) -> None:
    before = (undisturbed / "scores.csv").read_bytes()
    with evaluator_at(undisturbed, dataclasses.replace(spec, keep_hidden=True)) as evaluator:
        evaluator.submit(cells)
        evaluator.drain()
        assert (evaluator.queued, in_process.opened) == (0, 0)
    assert (undisturbed / "scores.csv").read_bytes() == before
    assert has_states(undisturbed)


def test_states_are_deleted_with_the_last_of_their_cells(
    tmp_path: Path, fill: Fill, spec: AnalysisSpec, cells: list[Cell], in_process: type
) -> None:
    """States of another epoch with unscored cells stay. A cell that is submitted twice is scored once."""
    fill(tmp_path / "hidden", (0, 1))
    told = []
    with evaluator_at(tmp_path, spec) as evaluator:
        in_process.gate.clear()
        evaluator.submit(cells)
        evaluator.submit(cells[:3])
        assert has_states(tmp_path)
        in_process.gate.set()
        evaluator.drain(told.append)
        assert (evaluator.queued, evaluator.finished, told[-1]) == (48, 48, 48)
    assert [has_states(tmp_path, epoch) for epoch in (0, 1)] == [False, True]


def test_states_with_nothing_left_to_score_are_deleted_on_submission(
    place: Path, fill: Fill, spec: AnalysisSpec, cells: list[Cell], in_process: type
) -> None:
    """As after a process was killed between writing the last row and deleting the states."""
    with evaluator_at(place, spec) as evaluator:
        evaluator.submit(cells)
        evaluator.drain()
    fill(place / "hidden")
    with evaluator_at(place, spec) as evaluator:
        evaluator.submit(cells)
        assert not has_states(place)


def test_cells_whose_states_were_deleted_are_refused(place: Path, spec: AnalysisSpec, in_process: type) -> None:
    cell = Cell("main", 0, 3, 30, "validation", "1", "raw")
    with (
        evaluator_at(place, spec) as evaluator,
        pytest.raises(UserError, match=f"{cell.name} .* hidden states were deleted"),
    ):
        evaluator.submit([cell])


def test_submission_waits_while_the_queue_is_full(
    place: Path, spec: AnalysisSpec, cells: list[Cell], in_process: type
) -> None:
    """One cell is being scored and two are queued, so the fourth waits. Breaks when training can run ahead for ever."""
    in_process.gate.clear()
    with evaluator_at(place, dataclasses.replace(spec, queue=2)) as evaluator:
        evaluator.submit(cells[:3])
        submission = threading.Thread(target=evaluator.submit, args=(cells[3:],))
        submission.start()
        submission.join(3 * room.POLL_SECONDS)
        assert submission.is_alive()
        assert evaluator.finished == 0
        in_process.gate.set()
        submission.join(PATIENCE_SECONDS)
        evaluator.drain()
        assert evaluator.finished == len(cells)


def test_submission_waits_no_longer_when_the_machine_is_taken_away(
    place: Path, spec: AnalysisSpec, cells: list[Cell], in_process: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a training that waits for its analysis could save nothing in the grace period."""
    monkeypatch.setattr(preemption, "asked", threading.Event())
    in_process.gate.clear()
    with evaluator_at(place, dataclasses.replace(spec, queue=2)) as evaluator:
        submission = threading.Thread(target=evaluator.submit, args=(cells,))
        submission.start()
        preemption.asked.set()
        submission.join(PATIENCE_SECONDS)
        assert not submission.is_alive()
