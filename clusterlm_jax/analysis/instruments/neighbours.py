"""K nearest neighbours of validation instances among the training instances (paper 3.3, table 7, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist

BLOCK = 64  # queries compared at a time, which bounds the memory for their distances


def nearest(query_QD: np.ndarray, reference_ND: np.ndarray, neighbours: int) -> np.ndarray:
    """Indices of the nearest references, nearest first, int [query, neighbour]. Ties go to the lower index.

    Distances are Euclidean and summed term by term in float64. So equal points (at layer 0 only 25 are distinct) have
    exactly equal distances, and the stable sort decides their ties the same way everywhere.
    """
    blocks = []
    for start in range(0, len(query_QD), BLOCK):
        distance_QN = cdist(query_QD[start : start + BLOCK], reference_ND, "sqeuclidean")
        blocks.append(np.argsort(distance_QN, axis=1, kind="stable")[:, :neighbours])
    return np.concatenate(blocks)


def majority(values_QP: np.ndarray) -> np.ndarray:
    """The most frequent value of each row. If several are, the one whose first neighbour is nearest."""
    count_QP = (values_QP[:, :, None] == values_QP[:, None, :]).sum(axis=2)
    return values_QP[np.arange(len(values_QP)), count_QP.argmax(axis=1)]


def task_share(index_QP: np.ndarray, task_Q: np.ndarray, task_N: np.ndarray) -> float:
    """Mean share of neighbours with the query's task."""
    return float((task_N[index_QP] == task_Q[:, None]).mean())


def neighbour_scores(
    index_QP: np.ndarray, query_labels: Mapping[str, np.ndarray], reference_labels: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], float]:
    """Scores by (label, score): how well the neighbours predict the task and the output of a query.

    - `knn_percentage`: mean share of neighbours with the query's task.
    - `knn_accuracy`: share of queries whose output token is that of most neighbours (as in kNN language models).
    - `knn_task_accuracy`: the same for the task.

    States may come without outputs; the second score is then left out.
    """

    def accuracy(label: str) -> float:
        return float((majority(reference_labels[label][index_QP]) == query_labels[label]).mean())

    scores = {("task", "knn_percentage"): task_share(index_QP, query_labels["task"], reference_labels["task"])}
    if "output" in reference_labels:
        scores["output", "knn_accuracy"] = accuracy("output")
    return scores | {("task", "knn_task_accuracy"): accuracy("task")}
