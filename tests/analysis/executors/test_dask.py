"""A Dask cluster gives the rows of worker processes here, also when one of its workers is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.executors import commands, dask
from clusterlm_jax.analysis.executors.answering import answer
from clusterlm_jax.analysis.executors.pool import PACKAGE_ROOT, WorkerDied
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable, read_rows
from clusterlm_jax.records import Cell, UserError

PATIENCE_SECONDS = 60


def started(*words: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Running:
    """A scheduler and two workers without nannies: whoever is killed stays dead."""

    address: str
    workers: list[subprocess.Popen]
    another: Callable[[], subprocess.Popen]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Running]:
    address = f"tcp://127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as open_:

        def start(*words: str) -> subprocess.Popen:
            process = open_.enter_context(started(*words))
            open_.callback(process.kill)
            return process

        start("dask_scheduler", "--host", address, "--no-dashboard")
        worker = ("dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads=1")
        another = functools.partial(start, *worker)
        yield Running(address, [another(), another()], another)


@pytest.fixture
def few(cells: list[Cell]) -> list[Cell]:
    """14 of the cells: those of two quick jobs, and two of t-SNE."""
    quick = [cell for cell in cells if cell.job in ("raw", "geometry")]
    return quick + [cell for cell in cells if (cell.job, cell.layer) == ("tsne", "1")]


def rows(path: Path) -> list[tuple]:
    return sorted(dataclasses.astuple(row) for row in read_rows(path))


def test_rows_are_those_of_this_machine_though_a_worker_is_killed(
    cluster: Running, place: Path, spec: AnalysisSpec, few: list[Cell]
) -> None:
    """Killed with a cell in hand, once one is scored. No cell is lost, and none is there twice."""
    spec = dataclasses.replace(spec, keep_hidden=True)
    hidden, victim = HiddenStore(place / "hidden"), cluster.workers[0]
    for name, scheduler in (("here.csv", ""), ("cluster.csv", cluster.address)):
        settings = dataclasses.replace(spec, scheduler=scheduler)
        with Evaluator(settings, ScoreTable(place / name, spec), hidden, place / f"of-{name}") as evaluator:
            evaluator.submit(few)
            if scheduler:
                client = evaluator._executor._client
                wait_until(lambda: len(client.run(os.getpid)) == 2 and evaluator.finished)  # noqa: B023 - it is awaited
                [at] = [address for address, pid in client.run(os.getpid).items() if pid == victim.pid]
                wait_until(lambda: client.processing()[at])  # noqa: B023
                assert evaluator.finished < len(few)
                os.kill(victim.pid, signal.SIGKILL)
            evaluator.drain()
            assert evaluator.finished == len(few)
    assert rows(place / "cluster.csv") == rows(place / "here.csv")
    told = [*(place / "of-cluster.csv").rglob("*.npz")]
    assert len(told) == 2
    for path in told:
        assert path.read_bytes() == (place / "of-here.csv" / path.relative_to(place / "of-cluster.csv")).read_bytes()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cell_that_hangs_in_the_cluster_is_ended(cluster: Running) -> None:
    with dask.DaskExecutor(cluster.address, seconds=0.5) as executor:
        assert isinstance(executor.submit(time.sleep, PATIENCE_SECONDS).exception(PATIENCE_SECONDS), WorkerDied)


def test_a_worker_with_other_versions_or_without_the_states_is_told_in_a_sentence(
    place: Path, spec: AnalysisSpec, cells: list[Cell]
) -> None:
    older = dict(dask.versions()) | {"numpy": "1.0"}
    said = dask._in_worker(older, PATIENCE_SECONDS, answer, cells[0], None, spec, place / "hidden", None)
    assert "has numpy" in said and "(not 1.0): install the same there." in said and "jax" not in said
    said = answer(cells[0], None, spec, place / "elsewhere", None)
    assert "does not see" in said and "a disk that they share" in said


def test_a_scheduler_that_does_not_answer_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "ANSWERS_WITHIN", 0.1)
    for address in (f"tcp://127.0.0.1:{free_port()}", "nonsense://x", "x"):
        with pytest.raises(UserError, match=r"No Dask scheduler answers at eval\.scheduler = '.*tcp://HOST:8786"):
            dask.connect(address)


def test_without_dask_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"eval\.scheduler needs Dask: pip install"):
        dask.connect("tcp://127.0.0.1:8786")


DYING = """
import os, pathlib, signal, time
marker = pathlib.Path("marker")
if not marker.exists():
    marker.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
def get_config(form):
    raise ValueError("this is the second time")
"""
LASTING = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(60)
"""


def test_a_command_whose_worker_is_killed_is_begun_again_and_its_last_sentence_is_told(
    cluster: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration file is what kills it, the first time."""
    cluster.another()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dying.py").write_text(DYING)
    with dask.connect(cluster.address) as client:
        given = {"dying": ["--config=dying.py"], "help": ["--help"]}
        ended = dict(commands.ended(client, given, tmp_path))
    assert ended["dying"].code == 2 and "this is the second time" in ended["dying"].told
    assert ended["help"].code == 0
    assert "--workdir=DIR" in (tmp_path / "help.log").read_text()


def test_a_command_ends_when_nobody_waits_for_it(
    cluster: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-C where the grid was started. Breaks if it holds its work directory, which the next one needs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lasting.py").write_text(LASTING)
    with dask.connect(cluster.address) as client:
        waiting = threading.Thread(
            target=lambda: [*commands.ended(client, {"lasting": ["--config=lasting.py"]}, tmp_path)], daemon=True
        )
        waiting.start()
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = (tmp_path / "pid").read_text()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    waiting.join(PATIENCE_SECONDS)
    assert "terminated" in (tmp_path / "lasting.log").read_text()
