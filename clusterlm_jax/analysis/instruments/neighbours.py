"""K nearest neighbours of unseen instances among the training instances (paper 3.3, table 7, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist

BLOCK = 64  # queries compared at a time


def nearest(query_QD: np.ndarray, reference_ND: np.ndarray, neighbours: int) -> np.ndarray:
    """Indices of the nearest references, nearest first, int [query, neighbour].

    Distances are Euclidean, summed term by term in float64: points that are equal tie exactly (as the 25 embeddings of
    layer 0 do), and ties go to the lower index.
    """
    blocks = []
    for start in range(0, len(query_QD), BLOCK):
        distance_QN = cdist(query_QD[start : start + BLOCK], reference_ND, "sqeuclidean")
        blocks.append(np.argsort(distance_QN, axis=1, kind="stable")[:, :neighbours])
    return np.concatenate(blocks)


def majority(values_QK: np.ndarray) -> np.ndarray:
    """The most frequent value of each row; of equally frequent ones, that of the nearest neighbour."""
    count_QK = (values_QK[:, :, None] == values_QK[:, None, :]).sum(axis=2)
    return values_QK[np.arange(len(values_QK)), count_QK.argmax(axis=1)]


def task_share(index_QK: np.ndarray, task_Q: np.ndarray, task_N: np.ndarray) -> float:
    """Mean share of neighbours with the query's task."""
    return float((task_N[index_QK] == task_Q[:, None]).mean())


def neighbour_scores(
    index_QK: np.ndarray, query_labels: Mapping[str, np.ndarray], reference_labels: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], float]:
    """By (label, score): how far neighbours tell the task and the output of a query.

    `knn_percentage` is the mean share of neighbours with the query's task, `knn_accuracy` the share of queries whose
    output token is the majority's (as in kNN language models), `knn_task_accuracy` the same for the task.
    """
    task_QK, output_QK = (reference_labels[name][index_QK] for name in ("task", "output"))
    return {
        ("task", "knn_percentage"): task_share(index_QK, query_labels["task"], reference_labels["task"]),
        ("output", "knn_accuracy"): float((majority(output_QK) == query_labels["output"]).mean()),
        ("task", "knn_task_accuracy"): float((majority(task_QK) == query_labels["task"]).mean()),
    }
