"""How far apart the groups of a label are, without any clustering. Not in the paper."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist, squareform

from clusterlm_jax.analysis.instruments.variance import group_sums

GEOMETRY_SCORES = ("silhouette", "nc1")


def distances(hidden_ND: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float64 [instance, instance].

    pdist subtracts before it squares. So equal states have distance exactly 0, and the many duplicates at layer 0 are
    recognised; the faster x² - 2xy + y² would leave rounding errors there.
    """
    return squareform(pdist(hidden_ND))


def silhouette(distance_NN: np.ndarray, label_N: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw, 1987) in [-1, 1]: how much nearer instances are to their own group than to the next.

    It is 0 if all states are equal, and nan if the label has one value or a different value for every instance.
    """
    _, group_N, count_G = np.unique(label_N, return_inverse=True, return_counts=True)
    if not 1 < len(count_G) < len(label_N):
        return float("nan")
    own_NG = group_N[:, None] == np.arange(len(count_G))
    sum_NG = distance_NN @ own_NG.astype(float)  # of the distances to each group
    inside_N = sum_NG[own_NG] / np.maximum(count_G - 1, 1)[group_N]
    nearest_N = np.where(own_NG, np.inf, sum_NG / count_G).min(axis=1)
    larger_N = np.maximum(inside_N, nearest_N)
    counts_N = (count_G[group_N] > 1) & (larger_N > 0)  # 0 where an instance is alone, or all are equal
    return float(np.divide(nearest_N - inside_N, larger_N, out=np.zeros(len(label_N)), where=counts_N).mean())


def nc1(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """Variability within groups relative to that between them: NC1 of neural collapse (Papyan et al., 2020).

    trace(S_W pinv(S_B)) / C for C groups, where S_W and S_B are the covariances within and between groups, and all
    groups have equal weight. It falls to 0 as the groups collapse to their means. It is nan if these means are equal.
    """
    _, group_N, count_G = np.unique(label_N, return_inverse=True, return_counts=True)
    mean_GD = group_sums(hidden_ND, group_N, len(count_G)) / count_G[:, None]
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
