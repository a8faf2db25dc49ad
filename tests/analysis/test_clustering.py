"""KMeans and t-SNE: the paper's settings, reproducible seeds, and points that coincide."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE

from clusterlm_jax.analysis.clustering import centroids, kmeans, seed_of, tsne
from clusterlm_jax.analysis.scoring import seeding
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import UserError

SPEC = AnalysisSpec(tsne_iterations=250)


def points(instances: int = 80, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((instances, width)).astype(np.float32)


def duplicated(distinct: int) -> np.ndarray:
    """80 points, of which `distinct` are different."""
    return points(distinct)[np.arange(80) % distinct]


def test_the_seed_is_that_of_the_name_in_every_process_and_version() -> None:
    """Breaks when seeds are derived in another way: rows of earlier runs could not be computed again."""
    assert seed_of("main/seed=0/epoch=0/validation/layer=1/raw") == 4039851558
    assert len({seed_of(f"main/seed=0/epoch={epoch}/validation/layer=1/raw") for epoch in range(200)}) == 200


def test_kmeans_has_the_settings_of_table_6() -> None:
    expected = KMeans(9, init="k-means++", n_init=10, max_iter=300, algorithm="lloyd", random_state=5)
    np.testing.assert_array_equal(kmeans(points(), 9, 5, SPEC), expected.fit_predict(points()))


def test_tsne_has_the_settings_of_table_5() -> None:
    expected = TSNE(3, perplexity=10, max_iter=250, metric="euclidean", init="pca", random_state=5)
    np.testing.assert_array_equal(tsne(points(), 5, SPEC), expected.fit_transform(points()))


def test_equal_seeds_give_equal_clusters_and_other_seeds_others() -> None:
    same, other = kmeans(points(), 9, 1, SPEC), kmeans(points(), 9, 2, SPEC)
    np.testing.assert_array_equal(same, kmeans(points(), 9, 1, SPEC))
    assert not np.array_equal(same, other)


def test_fewer_distinct_points_than_clusters_give_no_warning() -> None:
    """Warnings are errors here; layer 0 has at most 25 distinct points for 160 labels."""
    clusters = kmeans(duplicated(7), 20, 0, SPEC)
    assert len(np.unique(clusters)) == 7
    assert all(len(np.unique(clusters[np.arange(80) % 7 == point])) == 1 for point in range(7))


def test_other_warnings_of_kmeans_are_shown() -> None:
    with pytest.raises(ValueError, match="NaN"):
        kmeans(np.full((20, 3), np.nan, np.float32), 2, 0, SPEC)


@pytest.mark.parametrize("distinct", [2, 25])
def test_tsne_of_coinciding_points(distinct: int) -> None:
    coordinates_N3 = tsne(duplicated(distinct), 0, SPEC)
    assert coordinates_N3.shape == (80, 3)
    assert np.isfinite(coordinates_N3).all()


def test_tsne_of_one_point() -> None:
    """As the embedding of a token that all instances share. Breaks when its zero spread is divided by."""
    coordinates_N3 = tsne(duplicated(1), 0, SPEC)
    np.testing.assert_array_equal(coordinates_N3, np.zeros((80, 3)))
    assert set(kmeans(coordinates_N3, 5, 0, SPEC)) == {0}


def test_components_beyond_barnes_hut() -> None:
    assert tsne(points(30), 0, AnalysisSpec(tsne_iterations=250, tsne_components=4)).shape == (30, 4)


@pytest.mark.parametrize(
    ("hidden_ND", "message"), [(points(10), "tsne_perplexity is 10.0.*10 instances"), (points(80, 2), "width 2")]
)
def test_too_few_instances_or_dimensions_for_tsne_are_refused(hidden_ND: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tsne(hidden_ND, 0, SPEC)


def test_centroids_are_the_means_of_their_points_and_the_nearest_to_them(rng):
    """KMeans has converged, so the centroid of a point's cluster is its nearest one. Other means would not be."""
    points_ND = np.concatenate([rng.normal(size=(30, 5)) + 6 * np.eye(5)[place] for place in range(4)])
    centroid_KD, cluster_N = centroids(points_ND.astype(np.float32), 4, 0, AnalysisSpec())
    assert sorted(np.bincount(cluster_N)) == [30] * 4
    np.testing.assert_allclose(centroid_KD[cluster_N[0]], points_ND[:30].mean(axis=0), atol=1e-5)
    distance_NK = np.linalg.norm(points_ND[:, None] - centroid_KD, axis=-1)
    np.testing.assert_array_equal(distance_NK.argmin(axis=1), cluster_N)


def test_fewer_distinct_points_have_fewer_centroids():
    """As at layer 0. An empty cluster has no mean."""
    points_ND = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    centroid_KD, _ = centroids(points_ND, 6, 0, AnalysisSpec())
    np.testing.assert_array_equal(np.sort(centroid_KD, axis=0), np.sort(np.eye(3), axis=0))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("distinct", [5, 90], ids=["many equal points", "no equal points"])
@pytest.mark.parametrize("kept", [True, False], ids=["from all distances", "too many points"])
def test_clusterings_that_share_a_start_are_scikit_learns(
    spec: AnalysisSpec, monkeypatch: pytest.MonkeyPatch, distinct: int, kept: bool
) -> None:
    """Breaks when a start draws other centres than "k-means++", or when a clustering changes the next one's."""
    monkeypatch.setattr(seeding, "MOST_POINTS", 90 if kept else 10)
    rng, start = np.random.default_rng(distinct), seeding.PlusPlus()
    points_ND = np.float32(3 + rng.standard_normal((distinct, 6)))[rng.permutation(90) % distinct]
    for clusters, seed in itertools.product((2, 4, 20), range(3)):
        plain = KMeans(clusters, n_init=spec.kmeans_restarts, random_state=seed).fit_predict(points_ND)
        np.testing.assert_array_equal(kmeans(points_ND, clusters, seed, spec, start), plain)
