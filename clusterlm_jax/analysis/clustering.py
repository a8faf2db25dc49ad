"""KMeans and t-SNE with the settings of tables 5 and 6. Their seeds come from the name of the cell."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
from threadpoolctl import threadpool_limits

from clusterlm_jax.analysis.scoring.seeding import PlusPlus
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import UserError


def seed_of(name: str) -> int:
    """A 32-bit seed from a name. Unlike `hash`, it is the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def kmeans(
    points_ND: np.ndarray, clusters: int, seed: int, spec: AnalysisSpec, start: PlusPlus | None = None
) -> np.ndarray:
    """The cluster of each point, int [instance]. Clusterings of the same points may share a `start`.

    There are fewer clusters than asked for if there are fewer distinct points, as at layer 0. That is expected, so
    scikit-learn's warning about it is silenced.
    """
    from sklearn.cluster import KMeans  # slow to import, and only workers need it
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return KMeans(
            n_clusters=clusters,
            init=start or PlusPlus(),  # the centres of "k-means++", found faster
            n_init=spec.kmeans_restarts,
            max_iter=spec.kmeans_iterations,
            algorithm="lloyd",
            random_state=seed,
        ).fit_predict(points_ND)


def centroids(points_ND: np.ndarray, clusters: int, seed: int, spec: AnalysisSpec) -> tuple[np.ndarray, np.ndarray]:
    """KMeans on one thread: the cluster means [cluster, width] and the cluster of each point.

    One thread, because KMeans on several sums in varying order and is not reproducible (scikit-learn#27518).
    """
    with threadpool_limits(1):
        found_N = np.unique(kmeans(points_ND, clusters, seed, spec), return_inverse=True)[1]
    means_KD = np.zeros((found_N.max() + 1, points_ND.shape[1]))
    np.add.at(means_KD, found_N, points_ND)
    return (means_KD / np.bincount(found_N)[:, None]).astype(points_ND.dtype), found_N


def tsne(hidden_ND: np.ndarray, seed: int, spec: AnalysisSpec) -> np.ndarray:
    """t-SNE coordinates, float32 [instance, component]; all zero if all states are equal.

    Raises:
      UserError: as `check_tsne`.
    """
    from sklearn.manifold import TSNE  # slow to import, and only workers need it

    check_tsne(hidden_ND, spec)
    if is_one_point(hidden_ND):
        return np.zeros((len(hidden_ND), spec.tsne_components), np.float32)
    return TSNE(
        n_components=spec.tsne_components,
        perplexity=spec.tsne_perplexity,
        max_iter=spec.tsne_iterations,
        metric="euclidean",
        init="pca",
        method="barnes_hut" if spec.tsne_components < 4 else "exact",  # Barnes-Hut allows at most 3 components
        random_state=seed,
    ).fit_transform(hidden_ND)


def check_tsne(hidden_ND: np.ndarray, spec: AnalysisSpec) -> None:
    """Checks that there are as many states as t-SNE needs, and as wide ones.

    Raises:
      UserError: if there are too few instances for the perplexity, or the states are too narrow for the PCA start.
    """
    instances, width = hidden_ND.shape
    if instances <= spec.tsne_perplexity:
        raise UserError(f"eval.tsne_perplexity is {spec.tsne_perplexity}, but a split has only {instances} instances.")
    if min(instances, width) < spec.tsne_components:
        raise UserError(f"eval.tsne_components is {spec.tsne_components}, but hidden states have only width {width}.")


def is_one_point(hidden_ND: np.ndarray) -> bool:
    """Whether all states are equal, as the embedding of a token that all instances share."""
    return not np.ptp(hidden_ND, axis=0).any()
