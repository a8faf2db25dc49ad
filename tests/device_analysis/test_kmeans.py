"""KMeans in jax, held against scikit-learn's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.analysis.clustering import kmeans as sklearn_kmeans
from clusterlm_jax.analysis.scoring.requests import Clusters
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.device_analysis import kmeans
from clusterlm_jax.device_analysis.engine import JaxEngine

SPEC = AnalysisSpec(kmeans_restarts=3)


def clouds(seed: int) -> np.ndarray:
    """Ninety points, the first ten of which are there thirty times."""
    rng = np.random.default_rng(seed)
    points_ND = (rng.normal(size=(7, 6))[np.arange(90) % 7] + rng.normal(size=(90, 6))).astype(np.float32)
    return np.concatenate([points_ND, *[points_ND[:10]] * 29])


def inertia(points_ND: np.ndarray, cluster_N: np.ndarray) -> float:
    return sum(np.square(own - own.mean(axis=0)).sum() for own in (points_ND[cluster_N == k] for k in set(cluster_N)))


def clusters(points_ND: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    [answer] = JaxEngine(SPEC).answer([Clusters(points_ND, count, seed)])
    return answer.array


def test_the_inertia_is_no_worse_on_average() -> None:
    """Over 60 seeds and sets of points. Breaks without k-means++, with one start, or when equal points count once."""
    ours = [inertia(clouds(seed), clusters(clouds(seed), 23, seed)) for seed in range(60)]
    theirs = [inertia(clouds(seed), sklearn_kmeans(clouds(seed), 23, seed, SPEC)) for seed in range(60)]
    assert np.mean(ours) < 1.01 * np.mean(theirs)


def test_there_are_as_many_clusters_as_asked_for() -> None:
    """The shape of the program has 24. Breaks when points join clusters that only fill it, or centres that do."""
    for seed in range(5):
        assert set(clusters(clouds(seed), 23, seed).tolist()) <= set(range(23))
        assert len(set(clusters(clouds(seed), 23, seed).tolist())) == 23


def test_equal_seeds_give_equal_clusters_and_other_seeds_others() -> None:
    np.testing.assert_array_equal(clusters(clouds(0), 23, 1), clusters(clouds(0), 23, 1))
    assert not np.array_equal(clusters(clouds(0), 23, 1), clusters(clouds(0), 23, 2))


def test_fewer_distinct_points_than_clusters_give_a_cluster_each() -> None:
    points_ND = clouds(0)[np.arange(90) % 7]
    found_N = clusters(points_ND, 20)
    assert len(set(found_N.tolist())) == 7
    assert all(len(set(found_N[np.arange(90) % 7 == point].tolist())) == 1 for point in range(7))


def test_a_cluster_without_points_gets_the_farthest_one() -> None:
    """Started with a centre that no point is nearest to."""
    points = np.float32([[0], [1], [2], [50]])
    centre_KD = np.float32([[1], [1e6], [2]])
    found, value = jax.jit(kmeans._lloyd, static_argnames="iterations")(
        points, np.ones(4, np.float32), centre_KD, np.ones(3, bool), jnp.float32(0), iterations=10
    )
    assert len({*found.tolist()}) == 3
    assert value <= 0.5 + 1e-6


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        clusters(np.full((20, 3), np.nan, np.float32), 2)
