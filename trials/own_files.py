"""A tiny run whose files are damaged one by one, and read by the stages that need them."""

from __future__ import annotations

import ast
import functools
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from clusterlm_jax import config as configuration
from clusterlm_jax.analysis import evaluator
from clusterlm_jax.analysis.executors.answering import answer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.natural import prompts
from clusterlm_jax.experiments import phases
from clusterlm_jax.experiments.causal.effects import read_effects
from clusterlm_jax.experiments.emergence.stages import the_phase
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.records import Cell, UserError
from clusterlm_jax.report import drawing
from clusterlm_jax.report import page as pages
from clusterlm_jax.training.checkpoints import sum_of
from clusterlm_jax.workdir import WorkDir
from trials import command_lines, odd, runs

STAGES, ANALYSE, REPORT = "('data', 'train', 'analyse')", "('analyse',)", "('report',)"
DAMAGES = {".json": odd.damaged_json, ".jsonl": odd.damaged_json, ".csv": odd.damaged_table, ".npz": odd.damaged_arrays}


@functools.cache
def finished() -> tuple[Path, tuple[str, ...]]:
    """The work directory of a tiny run with its hidden states, and its flags; it is there until the process ends."""
    place = Path(_kept().name)
    flags = (*runs.flags_of("emergence", place / "inputs"), "--config.eval.keep_hidden=True")
    with mock.patch.object(evaluator, "executor_of", HereAndNow):
        command_lines.run(place, [f"--workdir={place / 'run'}", *flags, f"--config.stages={STAGES}"], Work)
    return place / "run", flags


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="clusterlm_jax-fuzz-")


def copied(folder: Path, *names: str) -> Path:
    """Some of the run's files, in a directory of their own."""
    run, workdir = finished()[0], folder / "run"
    workdir.mkdir()
    for name in names:
        for path in run.glob(name):
            into = workdir / path.relative_to(run)
            into.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, into)
    return workdir


def damage(path: Path, rng: random.Random) -> None:
    path.write_bytes(DAMAGES.get(path.suffix, odd.damaged)(path.read_bytes(), rng))


ROWS = (
    "config.json",
    "run.json",
    "env.json",
    "metrics.jsonl",
    "timings.jsonl",
    "scores.csv",
    "dataset/seed=0/dataset.npz",
)


def resumed(name: str, stages: str) -> Callable[[random.Random, Path], None]:
    """A case: one of the small files is damaged, and the stages are run again through the command line."""

    def case(rng: random.Random, folder: Path) -> None:
        workdir = copied(folder, *ROWS, "hidden", *(["embeddings"] if "report" in stages else []))
        given = json.loads((workdir / "config.json").read_text())
        given["stages"] = ast.literal_eval(stages)  # or it would be written anew
        WorkDir(workdir).write_json("config.json", given)
        damage(rng.choice(sorted(path for path in workdir.glob(name) if path.is_file())), rng)
        with mock.patch.object(evaluator, "executor_of", HereAndNow), _nothing_drawn():
            command_lines.run(folder, [f"--workdir={workdir}", *finished()[1], f"--config.stages={stages}"], Work)

    return case


class HereAndNow(ThreadPoolExecutor):
    """Workers are threads of this process, which are there at once."""

    def __init__(self, spec: AnalysisSpec, count: int) -> None:
        super().__init__(count)


def _nothing_drawn() -> mock._patch:
    """Figures are made, but not turned into pixels, which takes most of the time of a page."""
    return mock.patch.multiple(pages, drawing=mock.Mock(wraps=drawing, render=lambda *_: b"", STYLE=drawing.STYLE))


def states(rng: random.Random, folder: Path) -> None:
    """A worker scores a cell whose states or labels are damaged."""
    workdir = copied(folder, "hidden")
    layer = rng.choice(("0", "1", "final_norm"))
    place = workdir / "hidden" / "main" / "seed=0" / "epoch=0002" / "validation"
    path = rng.choice((place / f"{layer}.npy", place / "labels.npz"))
    path.write_bytes(odd.damaged(path.read_bytes(), rng))
    cell = Cell("main", 0, 2, 0, "validation", layer, "raw")
    found = answer(cell, None, _settings().eval, workdir / "hidden", None)
    if isinstance(found, str):
        raise UserError(found)


def checkpoint(rng: random.Random, folder: Path) -> None:
    """A training goes on, or its best parameters are read, where a file of a checkpoint is damaged."""
    workdir = copied(folder, "checkpoints")
    damage(rng.choice(sorted(path for path in (workdir / "checkpoints").rglob("*") if path.is_file())), rng)
    phase, template = _phase()
    if rng.random() < 0.3:
        phases.best_params(phase, WorkDir(workdir))
    else:
        with phases._checkpoints(phase, WorkDir(workdir)) as checkpoints:
            _, state, _ = checkpoints.restore_last(template)
        assert sum_of(state, {}) in _sums(), "other numbers than those that were saved"


@functools.cache
def _sums() -> set[int]:
    """Of the states of both checkpoints that the run left."""
    phase, template = _phase()
    sums = set()
    with tempfile.TemporaryDirectory() as name:
        workdir = copied(Path(name), "checkpoints")
        while len(sums) < 2:
            with phases._checkpoints(phase, WorkDir(workdir)) as checkpoints:
                epoch, state, _ = checkpoints.restore_last(template)
            sums.add(sum_of(state, {}))
            shutil.rmtree(workdir / "checkpoints" / "main" / "last" / str(epoch))
    return sums


@functools.cache
def _settings():
    from clusterlm_jax import main

    return configuration.build(main.parse(main.flags_of(finished()[1])))


@functools.cache
def _phase():
    import jax

    from clusterlm_jax.training.loop import initial_states

    with Work(_settings(), WorkDir(finished()[0])) as work:
        phase = the_phase(_settings(), work)
    return phase, jax.eval_shape(functools.partial(initial_states, phase))


def composed(rng: random.Random, folder: Path) -> None:
    """Prompts that a probing run wrote."""
    path = folder / "prompts.jsonl"
    prompts.save(prompts.compose(prompts.NaturalSpec(wordings_per_task=1, mappings_per_task=2), 0), path)
    damage(path, rng)
    prompts.load(path)


def effects(rng: random.Random, folder: Path) -> None:
    """Rows of the causal tests."""
    row = {"seed": 0, "test": "swap", "kind": "other task", "amount": 1.0, "draw": 0, "layer": "1"}
    path = folder / "effects.jsonl"
    path.write_text(4 * (json.dumps(row | {"own": 0.5, "other": 0.25}) + "\n"))
    damage(path, rng)
    read_effects(folder)


# What is damaged, how many cases in a hundred are of it, and the case.
CASES: dict[str, tuple[int, Callable[[random.Random, Path], None]]] = {
    "run.json": (12, resumed("run.json", ANALYSE)),
    "config.json, env.json": (8, resumed("*[vg].json", REPORT)),
    "metrics.jsonl, timings.jsonl": (14, resumed("*.jsonl", ANALYSE)),
    "scores.csv": (14, resumed("scores.csv", ANALYSE)),
    "dataset.npz": (12, resumed("dataset/seed=0/dataset.npz", ANALYSE)),
    "any of these and embeddings, read by the page": (6, resumed("**/*[nlvz]", REPORT)),
    "hidden states": (14, states),
    "checkpoints": (10, checkpoint),
    "prompts.jsonl": (5, composed),
    "effects.jsonl": (5, effects),
}
