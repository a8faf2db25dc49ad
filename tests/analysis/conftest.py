"""A small experiment: 4 tasks, 8 distributions, 12 mappings, 72 to 96 instances, 3 layers of states of width 8."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from clusterlm_jax.analysis.cells import REDUCER, cells_of, keys_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.records import SPLITS, Cell, HiddenStates, ScoreRow

LAYERS = ("0", "1", "final_norm")
INSTRUCTIONS = {"training": 4, "training_subset": 3, "validation": 3}  # per distribution
WIDTH = 8


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """As in the workers. t-SNE and KMeans are reproducible only on one thread, where the order of sums is fixed."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def states_of() -> Callable[..., HiddenStates]:
    """Makes states of a split: layer 0 has 5 distinct points, layer 1 clear clusters, the last a noisy mixture."""

    def make(split: str, run: str = "main", epoch: int = 0) -> HiddenStates:
        task, distribution, instruction, mapping = (
            axis.ravel()
            for axis in np.meshgrid(range(4), range(2), range(INSTRUCTIONS[split]), range(3), indexing="ij")
        )
        distribution = 2 * task + distribution
        labels = {
            "task": task,
            "distribution": distribution,
            "mapping": 3 * task + mapping,
            "instruction": 4 * distribution + instruction,
            "input": 40 + (task + mapping) % 5,
            "output": 40 + (2 * task + mapping) % 5,
            "position": 7 + (5 * distribution + 3 * instruction) % 11,
            "original": np.where((task == 3) & (split != "validation"), 1, -1),  # task 3 was made from task 1
            "matching": (distribution == 7) & (split != "validation"),
        }
        centre = np.random.default_rng(7)  # the same for all splits, as neighbours are looked for in another split
        symbol_SD, distribution_SD, mapping_SD = (centre.standard_normal((size, WIDTH)) for size in (45, 8, 12))
        noise = np.random.default_rng([*split.encode(), epoch])
        noise_ND = noise.standard_normal((len(task), WIDTH))
        hidden_LND = [
            symbol_SD[labels["input"]],
            20 * distribution_SD[distribution] + 20 * mapping_SD[labels["mapping"]] + 0.1 * noise_ND,
            symbol_SD[labels["input"]] + 0.5 * distribution_SD[distribution] + 0.5 * noise_ND,
        ]
        columns = {name: column.astype(np.int32) for name, column in labels.items()}
        return HiddenStates(np.float32(hidden_LND), LAYERS, columns, run, 0, epoch, 10 * epoch, split)

    return make


@pytest.fixture(scope="session")
def fill(states_of: Callable[..., HiddenStates]) -> Callable[..., HiddenStore]:
    """Saves the states of all three splits of some epochs."""

    def make(directory: Path, epochs: tuple[int, ...] = (0,), run: str = "main") -> HiddenStore:
        store = HiddenStore(directory)
        for epoch in epochs:
            for split in INSTRUCTIONS:
                store.save(states_of(split, run, epoch))
        return store

    return make


@pytest.fixture
def store(tmp_path: Path, fill: Callable[..., HiddenStore]) -> HiddenStore:
    return fill(tmp_path / "hidden")


@pytest.fixture(scope="session")
def spec() -> AnalysisSpec:
    return AnalysisSpec(tsne_iterations=250, kmeans_restarts=2, null_draws=2, workers=1)


@pytest.fixture(scope="session")
def cells(spec: AnalysisSpec) -> list[Cell]:
    """The 48 cells of epoch 0: seven jobs in 3 layers of 2 splits, two jobs in the layers of validation."""
    return cells_of("main", 0, 0, 0, SPLITS, LAYERS, spec)


@pytest.fixture(scope="session")
def rows_of(spec: AnalysisSpec) -> Callable[..., tuple[ScoreRow, ...]]:
    """Makes all rows of a cell, with arbitrary values."""

    def make(cell: Cell, value: float = 0.5) -> tuple[ScoreRow, ...]:
        place = cell.run, cell.seed, cell.epoch, cell.step, cell.split, cell.layer
        return tuple(
            ScoreRow(*place, label, REDUCER[cell.job], score, value) for label, score in sorted(keys_of(cell, spec))
        )

    return make


@pytest.fixture
def place(tmp_path: Path, fill: Callable[..., HiddenStore]) -> Path:
    """The part of a work directory that the analysis uses."""
    fill(tmp_path / "hidden")
    return tmp_path


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, fill: Callable[..., HiddenStore], spec: AnalysisSpec, cells: list[Cell]
) -> Path:
    """A work directory where two workers scored all cells without interruption. Hidden states are kept."""
    place = tmp_path_factory.mktemp("undisturbed")
    store, table = fill(place / "hidden"), ScoreTable(place / "scores.csv", spec)
    settings = dataclasses.replace(spec, workers=2, keep_hidden=True)
    with Evaluator(settings, table, store, place / "embeddings") as evaluator:
        evaluator.submit(cells)
        evaluator.drain()
    return place
