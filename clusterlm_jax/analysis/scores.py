"""Scores of a clustering against labels, from their contingency table (paper appendix C).

The paper gives F1 as 2PR / (P + R) and does not say how clusters are matched to classes. `f1` is our reading of it; the
other common readings are computed as well:

- `f1`: clusters are matched to classes one to one (Hungarian method) so that most instances match; if several matchings
  do, the one with the best F1 counts, so this is never below what a plain Hungarian match gives (which takes any of
  them, by the order of names). Macro F1 over the classes; a class without a cluster scores 0.
- `f1_majority`: each cluster predicts its majority class (several in equal parts if tied). Macro F1 over the classes.
- `f1_max_overlap`: each class takes the cluster that gives its best F1; mean over classes, weighted by their sizes (the
  F-measure of Larsen and Aone, 1999).
- `f1_pairwise`: F1 of deciding for every pair of instances whether they belong together.
- `f1_bcubed`: F1 of the B-cubed precision and recall (Bagga and Baldwin, 1998).
- `purity`: share of instances that are in the majority class of their cluster.

No score depends on the names or the order of classes and clusters, because ties are settled as described.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

Score = Callable[[np.ndarray, np.ndarray], float]


def contingency(labels_true: np.ndarray, labels_pred: np.ndarray) -> np.ndarray:
    """int64 [class, cluster]: how many instances of each class are in each cluster."""
    from sklearn.metrics.cluster import contingency_matrix  # slow to import, and only workers need it

    return contingency_matrix(labels_true, labels_pred).astype(np.int64)


def f1_matched(table_CK: np.ndarray) -> float:
    return float(_f1_of_cells(table_CK)[matching(table_CK)].sum() / len(table_CK))


def matching(table_CK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one-to-one matching of `f1`: classes, and the cluster of each; of the smaller set all are matched."""
    # The F1 values of a matching, divided by more than the number of classes, add up to less than one instance. So they
    # decide only between matchings with equally many instances.
    return linear_sum_assignment(table_CK + _f1_of_cells(table_CK) / (len(table_CK) + 1), maximize=True)


def f1_majority(table_CK: np.ndarray) -> float:
    majority_CK = table_CK == table_CK.max(axis=0)
    by_class_CC = table_CK @ (majority_CK / majority_CK.sum(axis=0)).T
    return float(np.diag(_f1_of_cells(by_class_CC)).mean())


def f1_max_overlap(table_CK: np.ndarray) -> float:
    return float(np.average(_f1_of_cells(table_CK).max(axis=1), weights=table_CK.sum(axis=1)))


def f1_pairwise(table_CK: np.ndarray) -> float:
    def pairs(count: np.ndarray) -> float:
        return float((count * (count - 1) // 2).sum())

    together, same_class, same_cluster = pairs(table_CK), pairs(table_CK.sum(axis=1)), pairs(table_CK.sum(axis=0))
    # If every instance is alone in its class and in its cluster, no pair is decided wrongly.
    return 2 * together / (same_class + same_cluster) if same_class + same_cluster else 1.0


def f1_bcubed(table_CK: np.ndarray) -> float:
    squared = table_CK.astype(float) ** 2
    precision = (squared / table_CK.sum(axis=0)).sum() / table_CK.sum()
    recall = (squared / table_CK.sum(axis=1, keepdims=True)).sum() / table_CK.sum()
    return float(2 * precision * recall / (precision + recall))


def purity(table_CK: np.ndarray) -> float:
    return float(table_CK.max(axis=0).sum() / table_CK.sum())


def ari(labels_true: np.ndarray, labels_pred: np.ndarray) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(labels_true, labels_pred))


def ami(labels_true: np.ndarray, labels_pred: np.ndarray) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(labels_true, labels_pred))


FROM_TABLE: dict[str, Callable[[np.ndarray], float]] = {
    "f1": f1_matched,
    "f1_majority": f1_majority,
    "f1_max_overlap": f1_max_overlap,
    "f1_pairwise": f1_pairwise,
    "f1_bcubed": f1_bcubed,
    "purity": purity,
}
FROM_LABELS: dict[str, Score] = {"ari": ari, "ami": ami}
SCORES = (*FROM_TABLE, *FROM_LABELS)


def score_all(labels_true: np.ndarray, labels_pred: np.ndarray, scores: Sequence[str] = SCORES) -> dict[str, float]:
    """Scores of one clustering by name. Labels and clusters are int [instance]; their values are arbitrary names."""
    table_CK = contingency(labels_true, labels_pred)
    return {
        name: FROM_TABLE[name](table_CK) if name in FROM_TABLE else FROM_LABELS[name](labels_true, labels_pred)
        for name in scores
    }


def _f1_of_cells(table_CK: np.ndarray) -> np.ndarray:
    """F1 of every class c with every cluster k: 2 n_ck / (n_c + n_k)."""
    size = table_CK.sum(axis=1, keepdims=True) + table_CK.sum(axis=0, keepdims=True)
    return np.divide(2 * table_CK, size, out=np.zeros(table_CK.shape), where=size > 0)
