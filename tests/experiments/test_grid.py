"""Grids: point after point, whatever happens at one of them, and one page that compares them."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlm_jax import config
from clusterlm_jax.experiments import grid
from clusterlm_jax.experiments.emergence import page, stages
from clusterlm_jax.experiments.stages import Stage
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.records import UserError
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import Busy, WorkDir
from tests.command_line import run

RATES = {"train.learning_rate": [1e-4, 3e-4, 1e-3]}
NAMES = ["learning_rate=0.0001", "learning_rate=0.0003", "learning_rate=0.001"]


class Rooms:
    """Stands for the only stage of the experiment, which raises what a test asks for, and for its comparison."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.raises: dict[str, BaseException] = {}
        self.compared: dict[str, bool] = {}

    def experiment(self, point: Settings, work: Work) -> None:
        name = work.dir.root.name
        self.begun.append(name)
        if name in self.raises:
            raise self.raises[name]
        work.dir.metrics.touch()

    def comparison(self, directories: dict[str, Path], into: Path, spec: ReportSpec) -> Path:
        self.compared = {name: (path / "metrics.jsonl").exists() for name, path in directories.items()}
        return into / "report.html"


@pytest.fixture
def rooms(monkeypatch) -> Rooms:
    rooms = Rooms()
    monkeypatch.setattr(stages, "STAGES", {"train": Stage(rooms.experiment)})
    monkeypatch.setattr(page, "compare", rooms.comparison)
    return rooms


@pytest.fixture
def workdir(tmp_path) -> WorkDir:
    return WorkDir(tmp_path / "grid")


def run_grid(workdir: WorkDir, axis: dict = RATES, **settings: object) -> None:
    raw = config.default("emergence")
    raw.update(grid=(axis,), **settings)
    grid.run(config.points(raw), config.shared(raw), workdir)


def test_every_point_is_an_ordinary_run_in_a_directory_of_its_own(rooms, workdir):
    run_grid(workdir, seeds=(0, 1))
    assert rooms.begun == NAMES
    assert rooms.compared == dict.fromkeys(NAMES, True)
    points = [json.loads((workdir.root / name / "config.json").read_text()) for name in NAMES]
    assert [point["train"]["learning_rate"] for point in points] == [1e-4, 3e-4, 1e-3]
    assert all(point["seeds"] == [0, 1] for point in points)


def test_a_point_that_fails_is_named_and_the_others_go_on(rooms, workdir, capsys):
    rooms.raises[NAMES[1]] = UserError("The loss is not finite at step 3.")
    with pytest.raises(UserError, match=r"1 of 3 points failed: learning_rate=0\.0003\."):
        run_grid(workdir)
    assert rooms.begun == NAMES
    assert f"the point {NAMES[1]} failed: The loss is not finite at step 3." in capsys.readouterr().err
    assert rooms.compared == {NAMES[0]: True, NAMES[1]: False, NAMES[2]: True}


def test_a_point_another_process_works_on_is_left_to_it(rooms, workdir, capsys):
    """As on two machines that share the directory: the same command on both shares out the points."""
    with WorkDir(workdir.root / NAMES[0]).locked():
        run_grid(workdir)
    assert rooms.begun == NAMES[1:]
    assert "Another process is working in" in capsys.readouterr().out
    run_grid(workdir)
    assert rooms.compared == dict.fromkeys(NAMES, True)


def test_it_waits_while_another_process_compares(rooms, workdir, monkeypatch):
    with contextlib.ExitStack() as other:
        other.enter_context(workdir.locked())
        monkeypatch.setattr(grid.time, "sleep", lambda seconds: other.close())
        run_grid(workdir)
    assert rooms.begun == NAMES


def test_it_does_not_wait_forever(rooms, workdir, monkeypatch):
    monkeypatch.setattr(grid, "PATIENCE", 0)
    with workdir.locked(), pytest.raises(UserError, match="Another process is working in"):
        run_grid(workdir)
    assert rooms.begun == []


def test_an_interrupt_stops_all_points(rooms, workdir):
    rooms.raises[NAMES[1]] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_grid(workdir)
    assert rooms.begun == NAMES[:2]


def test_an_axis_may_get_more_points(rooms, workdir):
    run_grid(workdir, {"train.learning_rate": [1e-4]})
    run_grid(workdir)
    assert rooms.compared == dict.fromkeys(NAMES, True)


def test_another_grid_and_a_single_run_do_not_share_its_directory(rooms, workdir, tmp_path):
    run_grid(workdir, {"train.learning_rate": [1e-4]})
    with pytest.raises(UserError, match=r"belongs to another configuration; it differs in train\.epochs"):
        run_grid(workdir, train={"epochs": 9})
    with pytest.raises(UserError, match="it differs in grid"):
        run_grid(workdir, {"model.layers": [2]})
    alone = config.build(config.default("emergence")).as_dict()
    with pytest.raises(UserError, match="it differs in grid"):
        workdir.claim(alone)
    single = WorkDir(tmp_path / "single")
    with single.locked():
        single.claim(alone)
        single.metrics.touch()
    with pytest.raises(UserError, match="it differs in grid"):
        run_grid(single)
    assert rooms.begun == NAMES[:1]


def test_without_the_report_stage_nothing_is_compared(rooms, workdir):
    run_grid(workdir, stages=("data", "train"))
    assert rooms.begun == NAMES
    assert rooms.compared == {}


@pytest.mark.slow
def test_one_command_runs_a_grid_and_resumes_it(tmp_path):
    """Two widths. The directory of one belongs to another configuration at first."""
    root = tmp_path / "grid"
    short = "--config.train.epochs=1", "--config.model.layers=1", "--config.eval.jobs=('raw',)", "--config.seeds=(3,)"
    command = root, "--config.grid=({'model.hidden_dim': [8, 16]},)", *short
    (root / "hidden_dim=8").mkdir(parents=True)
    foreign = root / "hidden_dim=8" / "config.json"
    foreign.write_text('{"seeds": [7]}')
    (foreign.parent / "metrics.jsonl").touch()  # something worth keeping

    first = run(*command)
    assert first.returncode == 2
    assert first.stderr.strip().endswith("clusterlm_jax: 1 of 2 points failed: hidden_dim=8.")
    assert foreign.read_text() == '{"seeds": [7]}'
    scores = (root / "hidden_dim=16" / "scores.csv").read_bytes()

    shutil.rmtree(foreign.parent)
    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert "Point 1 of 2: hidden_dim=8" in again.stdout
    assert (root / "hidden_dim=16" / "scores.csv").read_bytes() == scores
    page = (root / "report.html").read_text()
    assert all(f'href="hidden_dim%3D{width}/report.html"' in page for width in (8, 16))


def test_the_workers_of_a_cluster_run_points_and_this_process_compares(rooms, workdir, monkeypatch, capsys):
    """The points end in any order; one is another process's, and one fails."""
    cluster = pytest.importorskip("clusterlm_jax.analysis.executors.commands")
    ends = {NAMES[2]: (0, ""), NAMES[0]: (2, f"{Busy.WORDS} {NAMES[0]}."), NAMES[1]: (2, "It diverged.")}

    def ended(client: object, commands: dict[str, list[str]], directory: Path) -> Iterator[tuple[str, object]]:
        for name, end in ends.items():
            assert commands[name] == [f"--point={name}"]
            WorkDir(directory / name).write_json("metrics.jsonl", {})
            yield name, cluster.Ended(*end)

    monkeypatch.setattr(grid, "connect", contextlib.nullcontext)
    monkeypatch.setattr(cluster, "ended", ended)
    raw = config.default("emergence")
    raw.update(grid=(RATES,), eval={**raw.eval, "scheduler": "tcp://127.0.0.1:8786"})
    points = config.points(raw)
    with pytest.raises(UserError, match=r"1 of 3 points failed: learning_rate=0\.0003\."):
        grid.run(points, config.shared(raw), workdir, {name: [f"--point={name}"] for name in points})
    assert rooms.begun == []
    assert rooms.compared == dict.fromkeys(NAMES, True)
    told = capsys.readouterr()
    assert f"The point {NAMES[0]} is left to it." in told.out
    assert f"the point {NAMES[1]} failed: It diverged." in told.err


def test_one_point_alone_is_run_without_the_comparison(tmp_path):
    grid_of_two = "--config.grid=([{'name': 'small', 'seeds': (1,)}, {'name': 'large', 'seeds': (2,)}],)"
    result = run(tmp_path / "grid", grid_of_two, "--config.stages=('data',)", "--point=large")
    assert result.returncode == 0, result.stderr
    assert [path.name for path in (tmp_path / "grid").iterdir()] == ["large"]
    assert json.loads((tmp_path / "grid" / "large" / "config.json").read_text())["seeds"] == [2]
