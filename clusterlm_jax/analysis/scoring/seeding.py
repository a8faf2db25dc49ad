"""Where KMeans starts: scikit-learn's k-means++ (Arthur and Vassilvitskii, 2007) from one distance matrix."""

from __future__ import annotations

import numpy as np

MOST_POINTS = 2000  # with more, all distances take longer than those of the centres that are drawn


class PlusPlus:
    """`init` of scikit-learn's `KMeans`, for all clusterings of the same points.

    It draws the centres that `init="k-means++"` draws from the same seed. That one computes distances anew for each
    centre of each restart, which takes most of the time of KMeans at these sizes.
    """

    def __init__(self) -> None:
        self._squared_NN: np.ndarray | None = None

    def __call__(self, points_ND: np.ndarray, clusters: int, random_state: np.random.RandomState) -> np.ndarray:
        """The first centres, [cluster, width]; the points are those of the first call."""
        if len(points_ND) > MOST_POINTS:
            from sklearn.cluster import kmeans_plusplus  # slow to import, and only workers need it

            return kmeans_plusplus(points_ND, clusters, random_state=random_state)[0]
        if self._squared_NN is None:
            self._squared_NN = _squared_distances(points_ND)
        instances = len(points_ND)
        one_N = np.ones(instances, points_ND.dtype)
        trials = 2 + int(np.log(clusters))  # the best of several draws
        chosen = [random_state.choice(instances, p=one_N / one_N.sum())]
        closest_N = self._squared_NN[chosen[0]]
        potential = closest_N @ one_N
        while len(chosen) < clusters:
            drawn = random_state.uniform(size=trials) * potential
            candidates = np.minimum(np.searchsorted(np.cumsum(closest_N), drawn), instances - 1)
            closer_MN = np.minimum(closest_N, self._squared_NN[candidates])
            potential_M = closer_MN @ one_N
            best = potential_M.argmin()
            chosen.append(candidates[best])
            closest_N, potential = closer_MN[best], potential_M[best]
        return points_ND[chosen]


def _squared_distances(points_ND: np.ndarray) -> np.ndarray:
    """Computed in float64, and kept in the points' type."""
    wide_ND = points_ND.astype(np.float64)
    squared_N = np.einsum("nd,nd->n", wide_ND, wide_ND)
    squared_NN = -2 * wide_ND @ wide_ND.T + squared_N[:, None] + squared_N
    return np.maximum(squared_NN, 0).astype(points_ND.dtype)
