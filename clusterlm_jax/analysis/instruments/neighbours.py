"""K nearest neighbours of validation instances among the training instances (paper 3.3, table 7, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clusterlm_jax.analysis.instruments.distances import BLOCK, References


def nearest(query_QD: np.ndarray, reference_ND: np.ndarray, neighbours: int) -> np.ndarray:
    """Indices of the nearest references, nearest first, int [query, neighbour]. Ties go to the lower index.

    Distances are Euclidean and summed term by term in float64. So equal points (at layer 0 only 25 are distinct) have
    exactly equal distances, and the stable sort decides their ties the same way everywhere.
    """
    references, blocks = References(reference_ND), []
    for start in range(0, len(query_QD), BLOCK):
        block_QD = query_QD[start : start + BLOCK]
        everywhere_QN = np.ones((len(block_QD), len(reference_ND)), bool)
        index_QM, distance_QM = references.candidates(block_QD, [everywhere_QN], neighbours)
        order_QP = np.argsort(distance_QM, axis=1, kind="stable")[:, :neighbours]
        blocks.append(np.take_along_axis(index_QM, order_QP, axis=1))
    return np.concatenate(blocks)


def majority(values_QP: np.ndarray) -> np.ndarray:
    """The most frequent value of each row. If several are, the smallest, as in scikit-learn's KNeighborsClassifier."""
    count_QP = _counts(values_QP)
    most_QP = count_QP == count_QP.max(axis=1, keepdims=True)
    return np.where(most_QP, values_QP, values_QP.max()).min(axis=1)


def majority_nearest(values_QP: np.ndarray) -> np.ndarray:
    """The most frequent value of each row. If several are, the one whose first neighbour is nearest."""
    return values_QP[np.arange(len(values_QP)), _counts(values_QP).argmax(axis=1)]


def _counts(values_QP: np.ndarray) -> np.ndarray:
    """How often each value occurs in its row."""
    return (values_QP[:, :, None] == values_QP[:, None, :]).sum(axis=2)


def task_share(index_QP: np.ndarray, task_Q: np.ndarray, task_N: np.ndarray) -> float:
    """Mean share of neighbours with the query's task."""
    return float((task_N[index_QP] == task_Q[:, None]).mean())


def neighbour_scores(
    index_QP: np.ndarray, query_labels: Mapping[str, np.ndarray], reference_labels: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], float]:
    """Scores by (label, score): how well the neighbours predict the task and the output of a query.

    - `knn_percentage`: mean share of neighbours with the query's task.
    - `knn_accuracy`: share of queries whose output token is that of most neighbours, by scikit-learn's rule for ties:
      table 7 lists its parameters.
    - `knn_accuracy_nearest`: the same where ties go to the nearest neighbour (ours).
    - `knn_task_accuracy`, `knn_task_accuracy_nearest`: the same for the task (ours).

    States may come without outputs; their two accuracies are then left out.
    """
    scores = {("task", "knn_percentage"): task_share(index_QP, query_labels["task"], reference_labels["task"])}
    for label, name in (("output", "knn_accuracy"), ("task", "knn_task_accuracy")):
        if label not in reference_labels:
            continue
        for score, vote in ((name, majority), (f"{name}_nearest", majority_nearest)):
            predicted_Q = vote(reference_labels[label][index_QP])
            scores[label, score] = float((predicted_Q == query_labels[label]).mean())
    return scores
