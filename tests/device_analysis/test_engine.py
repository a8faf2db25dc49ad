"""The engine in jax gives rows for every job; side by side it finds what it finds one after the other."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from clusterlm_jax.analysis.cells import cells_of, keys_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.scoring.requests import Clusters, Coordinates
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable, read_rows
from clusterlm_jax.device_analysis import auto, engine, problems
from clusterlm_jax.records import UserError
from tests.analysis.conftest import fill, states_of, store  # noqa: F401 - fixtures

SPEC = AnalysisSpec(
    labels=("task",), tsne_iterations=250, kmeans_restarts=2, null_draws=2, workers=1, backend="jax",
    keep_hidden=True,
)  # fmt: skip
CELLS = cells_of("main", 0, 0, 0, ("validation",), ("1",), SPEC)


@pytest.fixture
def central(monkeypatch) -> None:
    """As if there was an accelerator: its engine answers for all workers, in this process."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def test_every_job_has_its_rows(store, tmp_path):  # noqa: F811
    """What involves no chance is as scikit-learn and scipy find it."""
    expected = Scorer(dataclasses.replace(SPEC, backend="sklearn"), None).score(CELLS, store)
    found = Scorer(SPEC, tmp_path / "embeddings").score(CELLS, store)
    for (cell, rows), (_, other) in zip(found, expected, strict=True):
        assert {(row.label, row.score) for row in rows} == keys_of(cell, SPEC)
        assert {row.backend for row in rows} == {"sklearn" if cell.job == "tree" else "jax"}
        if cell.job in ("knn", "across", "geometry", "tree"):
            values = ([row.value for row in some] for some in (rows, other))
            np.testing.assert_allclose(*values, atol=1e-6, err_msg=cell.name)
    assert len([*(tmp_path / "embeddings").rglob("*.npz")]) == 1


def test_a_central_engine_answers_for_the_workers(store, tmp_path, central):  # noqa: F811
    """Problems are solved side by side, then scored in a process without jax. Breaks when answers change places."""
    spec = dataclasses.replace(SPEC, jobs=("raw", "geometry", "tree"))
    cells = cells_of("main", 0, 0, 0, ("validation",), ("0", "1", "final_norm"), spec)
    with Evaluator(spec, ScoreTable(tmp_path / "scores.csv", spec), store, None) as evaluator:
        evaluator.submit(cells)
        evaluator.drain()
    expected = [row for _, rows in Scorer(spec, None).score(cells, store) for row in rows]
    assert sorted(map(str, read_rows(tmp_path / "scores.csv"))) == sorted(map(str, expected))


def test_what_cannot_be_scored_is_told(store, tmp_path, central):  # noqa: F811
    spec = dataclasses.replace(SPEC, tsne_perplexity=200.0, jobs=("tsne",))
    with Evaluator(spec, ScoreTable(tmp_path / "scores.csv", spec), store, None) as evaluator:
        evaluator.submit(cells_of("main", 0, 0, 0, ("validation",), ("1",), spec))
        with pytest.raises(UserError, match="tsne_perplexity is 200"):
            evaluator.drain()


def test_problems_are_solved_in_parts_where_memory_is_short(monkeypatch, central):
    """In one program of three, and in three of one, the clusters are those of each alone."""
    points = [np.random.default_rng(seed).normal(size=(40, 5)).astype(np.float32) for seed in range(3)]
    requests = [Clusters(own, 6, seed) for seed, own in enumerate(points)]
    found = [engine.JaxEngine(SPEC).answer(requests)]
    monkeypatch.setattr(problems, "_numbers_at_once", lambda: 48 * 48)  # the distances of one problem
    found.append(engine.JaxEngine(SPEC).answer(requests))
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    found.append(engine.JaxEngine(SPEC).answer(requests))
    for answers in zip(*found, strict=True):
        assert len({tuple(answer.array.tolist()) for answer in answers}) == 1


def test_sizes_are_few():
    assert [problems.padded(size) for size in (1, 2, 3, 4, 5, 7, 9, 25, 49, 315, 405)] == [
        1,
        2,
        3,
        4,
        6,
        8,
        12,
        32,
        64,
        384,
        512,
    ]
    assert all(size <= problems.padded(size) <= 1.5 * size for size in range(1, 1000))


def test_auto_takes_jax_where_it_is_faster():
    """On a CPU: t-SNE of some size. Breaks when small problems pay for a compilation."""
    spec = AnalysisSpec(backend="auto", kmeans_restarts=1)
    least = auto.LEAST_POINT_STEPS // spec.tsne_iterations
    small, large = np.random.default_rng(0).normal(size=(2, least, 8)).astype(np.float32)
    chosen = auto.AutoEngine(spec)
    assert not chosen.central
    assert not chosen._is_large(Coordinates(small[:-1], 0))
    assert chosen._is_large(Coordinates(large, 0))
    assert not chosen._is_large(Coordinates(np.zeros((auto.MOST_POINTS + 1, 3)), 0))
    [answer] = chosen.answer([Clusters(small, 5, 0)])
    assert answer.backend == "sklearn"


def test_auto_leaves_all_to_an_accelerator(central, monkeypatch):
    """But not where the environment says that there is none to use."""
    request = Clusters(np.zeros((4, 2), np.float32), 1, 0)
    monkeypatch.setattr(engine.JaxEngine, "answer", lambda self, requests: [*requests])
    monkeypatch.setenv("JAX_PLATFORMS", "")
    assert auto.AutoEngine(SPEC).answer([request]) == [request]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    [answer] = auto.AutoEngine(SPEC).answer([request])
    assert answer.backend == "sklearn"
