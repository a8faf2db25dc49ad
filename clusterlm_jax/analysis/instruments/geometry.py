"""How far apart the groups of a label are, without any clustering. Ours; the paper has none."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

GEOMETRY_SCORES = ("silhouette", "nc1")


def distances(hidden_ND: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float64 [instance, instance]; exactly 0 between equal states."""
    return cdist(hidden_ND, hidden_ND)


def silhouette(distance_NN: np.ndarray, label_N: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw, 1987) in [-1, 1]: is an instance nearer to its own group than to the next one?

    0 where all states are equal; nan where the label has one value, or as many as there are instances.
    """
    groups = len(np.unique(label_N))
    if not 1 < groups < len(label_N):
        return float("nan")
    return float(silhouette_score(distance_NN, label_N, metric="precomputed"))


def nc1(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """Variability within groups against that between them, the NC1 of neural collapse (Papyan et al., 2020).

    trace(S_W pinv(S_B)) / C for C groups, S_W and S_B the covariances within and between, groups of equal weight. It
    falls to 0 as the groups collapse to their means; nan where the group means are equal.
    """
    _, group_N, count_G = np.unique(label_N, return_inverse=True, return_counts=True)
    sum_GD = np.zeros((len(count_G), hidden_ND.shape[1]))
    np.add.at(sum_GD, group_N, hidden_ND)
    mean_GD = sum_GD / count_G[:, None]
    within_ND = (hidden_ND - mean_GD[group_N]) / np.sqrt(count_G * len(count_G))[group_N, None]
    between_GD = (mean_GD - mean_GD.mean(axis=0)) / np.sqrt(len(count_G))
    # S_B = V s^2 V', so its pseudo-inverse needs no matrix of width x width.
    _, size_G, direction_GD = np.linalg.svd(between_GD, full_matrices=False)
    largest = max(size_G.max(initial=0), np.abs(hidden_ND).max())  # of equal means, only rounding is left
    real = size_G > largest * max(between_GD.shape) * np.finfo(float).eps
    if not real.any():
        return float("nan")
    return float(((within_ND @ direction_GD[real].T / size_G[real]) ** 2).sum() / len(count_G))
