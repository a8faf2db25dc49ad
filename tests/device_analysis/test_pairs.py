"""Neighbours, shares and silhouettes in jax equal those of the analysis, also where points coincide."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.analysis.scoring.requests import Across, Neighbours, Silhouettes
from clusterlm_jax.analysis.scoring.scikit import SklearnEngine
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.device_analysis import pairs
from clusterlm_jax.device_analysis.engine import JaxEngine

ENGINES = SklearnEngine(AnalysisSpec()), JaxEngine(AnalysisSpec())
QUERIES, REFERENCES = 40, 150


def states(instances: int, kind: str) -> np.ndarray:
    """Far from the origin, where float32 keeps few digits of a product; or nine points many times."""
    rng = np.random.default_rng(7)  # the same points for both sets
    if kind == "distinct":
        return (1000 + np.random.default_rng(instances).normal(size=(instances, 20))).astype(np.float32)
    return rng.normal(size=(9, 20)).astype(np.float32)[np.arange(instances) % 9]


@pytest.fixture
def columns(rng) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels of queries and references; task 5 has one distribution, so its queries have no candidates."""

    def draw(instances: int) -> dict[str, np.ndarray]:
        distribution_N = rng.integers(0, 11, instances)
        return {"task": distribution_N // 2, "distribution": distribution_N, "input": rng.integers(0, 4, instances)}

    return draw(QUERIES), draw(REFERENCES)


@pytest.mark.parametrize("kind", ["distinct", "equal"])
def test_neighbours_are_the_same_ones(kind: str) -> None:
    """In the same order, ties too."""
    request = Neighbours(states(QUERIES, kind), states(REFERENCES, kind), 10)
    expected, found = (engine.answer([request])[0].array for engine in ENGINES)
    np.testing.assert_array_equal(found, expected)
    few = Neighbours(states(QUERIES, kind), states(6, kind), 10)  # fewer references than neighbours
    np.testing.assert_array_equal(*(engine.answer([few])[0].array for engine in ENGINES))


@pytest.mark.parametrize("kind", ["distinct", "equal"])
@pytest.mark.parametrize("names", [("task", "distribution", "input"), ("task", "distribution")])
def test_shares_across_distributions_are_equal(columns, kind: str, names: tuple[str, ...]) -> None:
    queries, references = ({name: own[name] for name in names} for own in columns)
    request = Across(states(QUERIES, kind), queries, states(REFERENCES, kind), references, 10)
    expected, found = (engine.answer([request])[0].array for engine in ENGINES)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.shape == (len(names) if len(names) == 3 else 1, 2)


@pytest.mark.parametrize("kind", ["distinct", "equal"])
def test_silhouettes_are_equal(rng, kind: str) -> None:
    """Of labels with few and many values, one value, a value for each instance, and groups of one."""
    labels = [rng.integers(0, count, QUERIES) for count in (2, 5, 30)]
    labels += [np.zeros(QUERIES, int), np.arange(QUERIES), np.minimum(np.arange(QUERIES), 20) - 7]
    request = Silhouettes(states(QUERIES, kind), tuple(labels))
    expected, found = (engine.answer([request])[0].array for engine in ENGINES)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isnan(found).tolist() == [False, False, False, True, True, False]


def test_distinct_points_are_told_by_their_numbers() -> None:
    """Breaks when the two zeros count as different."""
    point_MD, point_N = pairs.distinct(np.float32([[0, 1], [2, 3], [-0.0, 1], [2, 3]]))
    assert len(point_MD) == 2
    np.testing.assert_array_equal(point_MD[point_N], [[0, 1], [2, 3], [0, 1], [2, 3]])
