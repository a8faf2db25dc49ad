"""A worker process loads no jax, answers in order, and ends with its parent."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from clusterlm_jax.analysis.executors.answering import answer
from clusterlm_jax.analysis.executors.pool import PACKAGE_ROOT, Worker, WorkerDied, Workers
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import JOBS, Cell

PATIENCE_SECONDS = 60


def test_what_cannot_be_written_is_told_in_a_sentence(place: Path, spec: AnalysisSpec, tmp_path: Path) -> None:
    """As on a full disk. Breaks if the evaluator is given a traceback."""
    (tmp_path / "embeddings").write_text("in the way")
    cell = Cell("main", 0, 0, 0, "validation", "1", "tsne")
    said = answer(cell, None, spec, place / "hidden", tmp_path / "embeddings")
    assert "embeddings" in said
    assert "Traceback" not in said and "\n" not in said


def run_worker(program: str, messages: Sequence[tuple]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", program],
        input=b"".join(map(pickle.dumps, messages)),
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE_ROOT), "OMP_NUM_THREADS": "1"},
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_a_worker_loads_no_jax_and_keeps_its_answers_clean(
    place: Path, spec: AnalysisSpec, cells: list[Cell], tmp_path: Path
) -> None:
    """A cell of each job while a library prints, then a cell without states. The worker ends with its input."""
    program = """
import sys
from clusterlm_jax.analysis.executors import worker
from clusterlm_jax.analysis.scoring import scikit
kmeans = scikit.kmeans
scikit.kmeans = lambda *settings: print("a library prints", flush=True) or kmeans(*settings)
worker.main()
print("loaded:", sorted({"jax", "flax", "matplotlib", "ml_collections", "absl", "tqdm"} & set(sys.modules)))
"""
    asked = [Cell("main", 0, 0, 0, "validation", "1", job) for job in JOBS]
    missing = dataclasses.replace(asked[0], layer="9")
    settings = spec, place / "hidden", tmp_path
    worker = run_worker(program, [(answer, cell, None, *settings) for cell in (*asked, missing)])
    assert worker.returncode == 0, worker.stderr
    printed = worker.stderr.decode()
    assert "a library prints" in printed
    assert "loaded: []" in printed
    answers = [rows for _, rows in Scorer(spec, tmp_path).score(asked, HiddenStore(place / "hidden"))]
    *rows, refusal = _unpickle_all(worker.stdout)
    assert rows == answers
    assert "9.npy are missing" in refusal


def _unpickle_all(stream: bytes) -> list:
    file, answers = io.BytesIO(stream), []
    while file.tell() < len(stream):
        answers.append(pickle.load(file))
    return answers


def test_the_exit_code_of_a_dead_worker_is_reported(place: Path, spec: AnalysisSpec, cells: list[Cell]) -> None:
    worker = Worker()
    worker.kill()
    with pytest.raises(WorkerDied, match="exit code -9"):
        worker.call(PATIENCE_SECONDS, answer, cells[0], None, spec, place / "hidden", None)
    worker.end()


def test_a_worker_that_hangs_is_ended() -> None:
    worker = Worker()
    os.kill(worker._process.pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match="exit code -9"):
        worker.call(0.5, os.getpid)
    worker.end()


def test_a_free_worker_is_taken_again_and_ends_after_its_rest() -> None:
    workers = Workers(rest_seconds=1)
    assert workers.call(PATIENCE_SECONDS, os.getpid) == workers.call(PATIENCE_SECONDS, os.getpid)
    [worker] = workers._free
    assert worker._process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    workers.end()
    with pytest.raises(WorkerDied, match="closing"):
        workers.call(PATIENCE_SECONDS, os.getpid)


def test_a_worker_whose_parent_is_gone_ends_without_a_word() -> None:
    """The parent was killed while the worker scored: nobody reads the answer."""
    program = "from clusterlm_jax.analysis.executors import worker\nworker.main()"
    given = [sys.executable, "-c", program]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        worker.stdout.close()
        pickle.dump((os.getpid,), worker.stdin)
        worker.stdin.close()
        assert worker.stderr.read() == b""
        assert worker.wait(PATIENCE_SECONDS) == 1
