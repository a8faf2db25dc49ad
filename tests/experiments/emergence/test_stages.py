"""The main experiment end to end, killed and resumed: nothing is lost and nothing differs."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax import main
from clusterlm_jax.data import storage
from clusterlm_jax.preemption import START_AGAIN
from tests.command_line import (
    PATIENCE,
    ROOT,
    command,
    environment,
    kill_when,
    lines,
    metrics,
    outputs,
    run,
    scores,
    start_together,
    wait_until,
)

pytestmark = pytest.mark.slow
STAGES = "--config.stages=('data', 'train', 'analyse')"
EXPLORER = "--config.report.explorer=True"
# Epochs 0 and 3 are analysed. Few steps an epoch, since processes that train together wait for each other at each.
SEEDS = "--config.seeds=(0, 1)", "--config.eval.every=3", "--config.train.batch_size=48"
CLUSTERING = 6 * 8 + 4 * 3  # labels by scores, null labels by scores
# Of one state: raw and residual with shares of variance, t-SNE, on 2 splits; hard examples in each space; neighbours.
# The instruments on 2 splits: three shares with chance, silhouettes and trees by 6 labels with 2 nulls, three scores
# inside an input symbol with 2 nulls; two accuracies of the probe and of its control.
INSTRUMENTS = 2 * (3 * 2 + 2 * (6 * 2 + 2) + 3 * 3) + 2 * 2
ROWS_OF_A_STATE = 2 * (2 * (CLUSTERING + 7) + CLUSTERING) + 3 * 6 + 7 + INSTRUMENTS
ROWS_OF_AN_EPOCH = 2 * 4 * ROWS_OF_A_STATE  # of both seeds
ROWS = 1 + 2 * ROWS_OF_AN_EPOCH + 2 * ROWS_OF_A_STATE  # header, 2 epochs, instances as bags of symbols


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    result = run(workdir, *SEEDS, EXPLORER, "--config.report.formats=('png',)")
    assert result.returncode == 0, result.stderr
    assert f"The report is at {workdir}/report.html" in result.stdout
    return workdir


def test_the_job_leaves_what_it_should(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert {"config.json", "env.json", "run.json", "dataset", "checkpoints", "metrics.jsonl", "timings.jsonl"} <= names
    assert {"scores.csv", "embeddings", "figures", "tables", "report.html"} <= names
    records = [json.loads(line) for line in metrics(undisturbed).splitlines()]
    assert [(record["epoch"], record["seed"]) for record in records] == [(e, s) for e in range(4) for s in (0, 1)]
    assert len(scores(undisturbed)) == ROWS
    assert not list((undisturbed / "hidden").rglob("*.npy"))  # scored, so deleted
    figures = {path.stem for path in (undisturbed / "figures").glob("*.png")}
    assert {"figure_2", "figure_3", "figure_4", "figure_6a", "figure_6b", "figure_scatter"} <= figures
    assert not list(undisturbed.rglob("*.tmp"))


def test_the_explorer_knows_every_instance(undisturbed):
    """The first seed's, in words; right as often as the metrics say."""
    content = re.search(r'id="explorer-content">(.*?)</script>', (undisturbed / "report.html").read_text())[1]
    explorer = json.loads(content)
    dataset = storage.load(undisturbed / "dataset" / "seed=0")
    first, *_ = (json.loads(line) for line in metrics(undisturbed).splitlines()[-2:])
    for split, name in zip(explorer["splits"], ("validation", "training_subset"), strict=True):
        index = dataset.splits[name]
        assert (split["epochs"], [layer for layer, _ in split["layers"]]) == ([0, 3], ["0", "1", "2", "final_norm"])
        for column in ("instruction", "task", "input", "output"):
            assert split["columns"][column] == dataset.labels[column][index].tolist()
        assert split["right"]["3"].count("1") / len(index) == pytest.approx(first[f"{name}_accuracy"])
    assert explorer["words"] == json.loads(json.dumps(storage.words(dataset)))
    assert (undisturbed / "figures" / "clusters.gif").read_bytes().startswith(b"GIF89a")


def test_again_is_done_at_once(undisturbed):
    before = scores(undisturbed), metrics(undisturbed)
    result = run(undisturbed, *SEEDS, STAGES)
    assert result.returncode == 0, result.stderr
    assert (scores(undisturbed), metrics(undisturbed)) == before


def test_the_notebook_goes_from_a_run_to_a_figure(undisturbed, monkeypatch):
    """The cells of the example, one after the other; the untrained and the trained model and a null, on two panels."""
    from matplotlib import pyplot

    shown = []
    monkeypatch.setenv("RUN", str(undisturbed))
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.gcf()))
    notebook = json.loads((ROOT / "examples" / "from_run_to_figure.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert [len(panel.lines) for panel in shown[0].axes] == [3, 3]
    assert all(len(line.get_ydata()) == 4 for panel in shown[0].axes for line in panel.lines)
    assert list(names["states"]["trained"]) == ["layer_0", "layer_1", "layer_2", "layer_final_norm"]
    pyplot.close("all")


def test_the_report_alone_redraws_without_a_device(undisturbed, monkeypatch):
    """What was drawn before is drawn again without the modules that train, which would load jax."""
    page = (undisturbed / "report.html").read_bytes()
    (undisturbed / "report.html").unlink()
    given = *SEEDS, EXPLORER, "--config.stages=('report',)", "--config.report.formats=()"
    result = run(undisturbed, *given, JAX_PLATFORMS="no_such_platform")  # asking for a device would fail
    assert result.returncode == 0, result.stderr
    assert len((undisturbed / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.01)
    drawn = (undisturbed / "report.html").stat().st_mtime_ns
    monkeypatch.setitem(sys.modules, "clusterlm_jax.experiments.emergence.stages", None)  # to import it would fail
    assert main.main(command(undisturbed, *given)[2:]) == 0
    assert (undisturbed / "report.html").stat().st_mtime_ns > drawn


def grown(path: Path) -> Callable[[], bool]:
    """Whether a file has got lines since; a run that resumes first drops those later than its checkpoint."""
    fewest = lines(path)

    def more_lines() -> bool:
        nonlocal fewest
        now = lines(path)
        fewest = min(fewest, now)
        return now > fewest

    return more_lines


def checkpoint_under_way(last: Path) -> Callable[[], bool]:
    """Orbax writes to a temporary directory and renames it: while that is there, a checkpoint is being written.

    One that an earlier kill left does not count.
    """
    start = time.time()

    def begun() -> bool:
        with contextlib.suppress(FileNotFoundError):  # not there yet, or just renamed
            return any("tmp" in path.name and path.stat().st_mtime > start for path in last.iterdir())
        return False

    return begun


def test_killed_again_and_again_and_resumed_it_equals_the_undisturbed_run(undisturbed, tmp_path):
    """Killed between two seeds' metrics, while a checkpoint is written, and during the analysis after training.

    One run is killed at all three moments, since most of the time goes into the rest of it.
    """
    workdir = tmp_path / "run"
    table, told = workdir / "scores.csv", workdir / "metrics.jsonl"
    kill_when(command(workdir, *SEEDS, STAGES), lambda: lines(told) >= 3)
    under_way = checkpoint_under_way(workdir / "checkpoints" / "main" / "last")
    kill_when(command(workdir, *SEEDS, STAGES), under_way)
    scored = grown(table)
    kill_when(command(workdir, *SEEDS, STAGES), lambda: scored() and lines(told) == 8)
    assert lines(table) < ROWS
    result = run(workdir, *SEEDS, STAGES, "--config.eval.workers=2")
    assert result.returncode == 0, result.stderr
    assert scores(workdir) == scores(undisturbed)
    assert metrics(workdir) == metrics(undisturbed)
    for seed in (0, 1):
        file = Path("dataset") / f"seed={seed}" / "dataset.npz"
        assert (workdir / file).read_bytes() == (undisturbed / file).read_bytes()


def test_told_to_end_a_training_saves_its_state_and_goes_on_from_it(undisturbed, tmp_path):
    """SIGTERM in the second epoch, of which no checkpoint is due. Breaks if the process ends without one."""
    workdir = tmp_path / "run"
    given = command(workdir, *SEEDS, "--config.stages=('data', 'train')", "--config.train.checkpoint_every=3")
    with subprocess.Popen(
        given, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: lines(workdir / "metrics.jsonl") >= 3, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == START_AGAIN
    saved = {int(path.name) for path in (workdir / "checkpoints" / "main" / "last").iterdir()}
    assert saved <= {0, 1, 2, 3}
    assert max(saved) in {1, 2, 3}
    assert lines(workdir / "metrics.jsonl") == 2 * (max(saved) + 1)
    result = subprocess.run(given, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert metrics(workdir) == metrics(undisturbed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Data and training only, one after the other."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    for stage in ("data", "train"):
        result = run(workdir, *SEEDS, f"--config.stages=('{stage}',)")
        assert result.returncode == 0, result.stderr
    return workdir


def test_two_processes_of_two_devices_train_as_one(trained, tmp_path):
    """One is told to end after the first epoch: both save and end. One alone writes, or rows would be double."""
    workdir = tmp_path / "run"
    given = command(workdir, *SEEDS, "--config.stages=('data', 'train')")
    processes = start_together(given)
    wait_until(lambda: lines(workdir / "metrics.jsonl") >= 4, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode == START_AGAIN, told
    told = outputs(start_together(given))
    assert "validation: " in told[0] and "validation: " not in told[1]
    mesh = json.loads((workdir / "run.json").read_text())["phases"]["main"]["mesh"]
    assert mesh == {"devices": 4, "processes": 2, "parameters_cut": False}
    rows, alone = ([json.loads(line) for line in metrics(directory).splitlines()] for directory in (workdir, trained))
    assert [row.pop("run") for row in rows] == [row.pop("run") for row in alone]
    assert rows == [pytest.approx(row, rel=1e-5) for row in alone]
    files = {path.relative_to(trained) for path in (trained / "hidden").rglob("*.np?")}
    assert files == {path.relative_to(workdir) for path in (workdir / "hidden").rglob("*.np?")}
    assert len(files) == 2 * 2 * 3 * 5  # seeds, epochs, splits; layers and labels
    for path in (path for path in files if path.suffix == ".npy"):
        np.testing.assert_allclose(np.load(workdir / path), np.load(trained / path), atol=1e-5)


def test_stages_one_by_one_equal_all_at_once(undisturbed, trained, tmp_path):
    """Trained first and analysed later, in another process, from the states left on disk; not without these."""
    workdir = shutil.copytree(trained, tmp_path / "run")
    gone = {path: tmp_path / path.parent.name for path in (workdir / "hidden").rglob("epoch=0003")}
    assert len(gone) == 2
    for path, elsewhere in gone.items():
        path.rename(elsewhere)
    result = run(workdir, *SEEDS, "--config.stages=('analyse',)")
    assert result.returncode == 2
    assert "epoch=3" in result.stderr.strip().splitlines()[-1]
    assert "hidden states were deleted" in result.stderr
    for path, elsewhere in gone.items():
        elsewhere.rename(path)
    result = run(workdir, *SEEDS, "--config.stages=('analyse',)")
    assert result.returncode == 0, result.stderr
    assert scores(workdir) == scores(undisturbed)
    assert metrics(workdir) == metrics(undisturbed)


@pytest.fixture
def keyboard():
    """Interrupts reach what a test starts, also where the tests run in a background shell, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
def test_an_interrupt_from_the_keyboard_ends_in_a_sentence_and_leaves_no_worker(tmp_path):
    workdir = tmp_path / "run"
    with subprocess.Popen(
        command(workdir, *SEEDS, STAGES, "--config.eval.workers=2"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: lines(workdir / "scores.csv") > 0, process)
        workers = children(process.pid)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert told.strip().splitlines()[-1].startswith("clusterlm_jax: interrupted")
    assert "Traceback" not in told
    assert len(workers) == 2
    end = time.monotonic() + PATIENCE  # workers look after their parent now and then
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end, "a worker goes on"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
