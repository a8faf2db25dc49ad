"""Directions from one task to another, and the space that tasks span. Not in the paper.

A causal test moves a state along such a direction, or removes such a space from it. A vector stands for each task, and
a direction is the difference of two. There are three such vectors:

- `means`: the mean state of the task.
- `centroids`: the KMeans centroid that the task is matched with, one to one as in `f1`; as many clusters as tasks.
- `probe`: the task's weights in a linear probe, whose length means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from clusterlm_jax.analysis.instruments.probe import INVERSE_PENALTY, ITERATIONS
from clusterlm_jax.analysis.scores import contingency, matching

MEANS, CENTROIDS, PROBE = KINDS = ("means", "centroids", "probe")
NOISE = 1e-5  # of a direction's length among means, relative to the longest mean: below is rounding

# points, number of clusters -> centroids, cluster of each point
Clustering = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def means(state_ND: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """The mean state of each value of a label, values ascending, [C, D]."""
    return np.stack([state_ND[label_N == value].mean(axis=0) for value in np.unique(label_N)])


def residuals(state_ND: np.ndarray, input_N: np.ndarray) -> np.ndarray:
    """States less the mean of their input symbol."""
    symbols, symbol_N = np.unique(input_N, return_inverse=True)
    return state_ND - means(state_ND, symbols[symbol_N])[symbol_N]


def directions(
    kind: str,
    state_ND: np.ndarray,
    task_N: np.ndarray,
    from_M: np.ndarray,
    to_M: np.ndarray,
    cluster: Clustering,
) -> np.ndarray:
    """The direction from one task to another for each of M pairs, [M, D].

    Args:
      kind: one of `KINDS`.
      state_ND, task_N: the states it is found in, and the task of each.
      from_M, to_M: tasks; from or to one that is not in `task_N` there is no direction, which is 0.
      cluster: for `centroids`.
    """
    tasks = np.unique(task_N)
    if len(tasks) == 1:
        return np.zeros((len(from_M), state_ND.shape[1]), state_ND.dtype)
    vectors = {MEANS: means, CENTROIDS: partial(_centroids, cluster=cluster), PROBE: _weights}[kind]
    vector_CD = vectors(state_ND, task_N)
    from_C, to_C = (np.minimum(np.searchsorted(tasks, task_M), len(tasks) - 1) for task_M in (from_M, to_M))
    known_M = (tasks[from_C] == from_M) & (tasks[to_C] == to_M)
    return (vector_CD[to_C] - vector_CD[from_C]) * known_M[:, None]


def rescaled(direction_MD: np.ndarray, like_MD: np.ndarray) -> np.ndarray:
    """Directions with the lengths of others; one of length 0 stays."""
    length_M1, wanted_M1 = (np.linalg.norm(a, axis=-1, keepdims=True) for a in (direction_MD, like_MD))
    return (direction_MD * (wanted_M1 / np.where(length_M1 > 0, length_M1, 1))).astype(np.float32)


def between(mean_CD: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the directions between means, the widest first, [D, at most C - 1]."""
    _, width_R, basis_RD = np.linalg.svd(mean_CD - mean_CD.mean(axis=0), full_matrices=False)
    return basis_RD[width_R > NOISE * np.linalg.norm(mean_CD, axis=1).max()].T


def random_basis(width: int, rank: int, rng: np.random.Generator) -> np.ndarray:
    """An orthonormal basis of a random space, [D, rank]."""
    return np.linalg.qr(rng.normal(size=(width, rank)))[0].astype(np.float32)


def without(state_MD: np.ndarray, centre_D: np.ndarray, basis_DR: np.ndarray) -> np.ndarray:
    """States whose part in a space is that of `centre_D`: what differed along its directions is gone."""
    return state_MD - (state_MD - centre_D) @ basis_DR @ basis_DR.T


def _weights(state_ND: np.ndarray, task_N: np.ndarray) -> np.ndarray:
    """The weights of each task in a probe on the states, scaled as `probe.fits` does."""
    from sklearn.linear_model import LogisticRegression  # slow to import, and only clustering needs it

    centred_ND = state_ND - state_ND.mean(axis=0)
    probe = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS)
    with threadpool_limits(1):  # more threads than one only wait for each other on matrices of this size
        weight_CD = probe.fit(centred_ND / (np.sqrt(np.square(centred_ND).mean()) or 1), task_N).coef_
    return np.concatenate([-weight_CD, weight_CD]) if len(weight_CD) == 1 else weight_CD  # of two tasks it keeps one


def _centroids(state_ND: np.ndarray, task_N: np.ndarray, cluster: Clustering) -> np.ndarray:
    centroid_KD, cluster_N = cluster(state_ND, len(np.unique(task_N)))
    table_CK = contingency(task_N, cluster_N)
    # Equal states give fewer clusters than tasks; a task without one takes that of most of its instances.
    cluster_C = table_CK.argmax(axis=1)
    matched_C, of_matched = matching(table_CK)
    cluster_C[matched_C] = of_matched
    return centroid_KD[cluster_C]
