"""How far apart the groups of a label are, without any clustering. Not in the paper."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

GEOMETRY_SCORES = ("silhouette", "nc1")


def distances(hidden_ND: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float64 [instance, instance].

    cdist subtracts before it squares. So equal states have distance exactly 0, and the many duplicates at layer 0 are
    recognised; the faster x² - 2xy + y² would leave rounding errors there.
    """
    return cdist(hidden_ND, hidden_ND)


def silhouette(distance_NN: np.ndarray, label_N: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw, 1987) in [-1, 1]: how much nearer instances are to their own group than to the next.

    It is 0 if all states are equal, and nan if the label has one value or a different value for every instance.
    """
    from sklearn.metrics import silhouette_score  # slow to import, and only workers need it

    groups = len(np.unique(label_N))
    if not 1 < groups < len(label_N):
        return float("nan")
    return float(silhouette_score(distance_NN, label_N, metric="precomputed"))


def nc1(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """Variability within groups relative to that between them: NC1 of neural collapse (Papyan et al., 2020).

    trace(S_W pinv(S_B)) / C for C groups, where S_W and S_B are the covariances within and between groups, and all
    groups have equal weight. It falls to 0 as the groups collapse to their means. It is nan if these means are equal.
    """
    _, group_N, count_G = np.unique(label_N, return_inverse=True, return_counts=True)
    sum_GD = np.zeros((len(count_G), hidden_ND.shape[1]))
    np.add.at(sum_GD, group_N, hidden_ND)
    mean_GD = sum_GD / count_G[:, None]
    within_ND = (hidden_ND - mean_GD[group_N]) / np.sqrt(count_G * len(count_G))[group_N, None]
    between_GD = (mean_GD - mean_GD.mean(axis=0)) / np.sqrt(len(count_G))
    # With the SVD of the group means, S_B = V s^2 V'. So its pseudo-inverse needs no matrix of width x width.
    _, size_G, direction_GD = np.linalg.svd(between_GD, full_matrices=False)
    largest = max(size_G.max(initial=0), np.abs(hidden_ND).max())  # the scale of rounding errors
    # Singular values at the scale of rounding are zeros: their directions would be divided by almost nothing.
    real = size_G > largest * max(between_GD.shape) * np.finfo(float).eps
    if not real.any():
        return float("nan")
    return float(((within_ND @ direction_GD[real].T / size_G[real]) ** 2).sum() / len(count_G))
