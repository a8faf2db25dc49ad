"""Scores of a clustering against labels, all from one contingency table (paper appendix C).

Which F1? The paper gives 2PR / (P + R) and no more, so `f1` is one reading of it and the alternatives stand beside it:

- `f1`: macro F1 after the one-to-one (Hungarian) matching of clusters to classes that maximises matched instances, of
  equal ones the best by F1; classes left without a cluster score 0.
- `f1_majority`: each cluster predicts its majority class, equally frequent ones in equal parts; macro F1 over classes.
- `f1_max_overlap`: each class takes the cluster of its best F1 (the F-measure of Larsen and Aone, 1999), mean over the
  classes weighted by their sizes.
- `f1_pairwise`: of the decision, for every pair of instances, whether they belong together.
- `f1_bcubed`: of the B-cubed precision and recall (Bagga and Baldwin, 1998).
- `purity`: share of instances in the majority class of their cluster.

No score depends on how classes or clusters are named or ordered: ties are settled above by what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

Score = Callable[[np.ndarray, np.ndarray], float]


def contingency(labels_true: np.ndarray, labels_pred: np.ndarray) -> np.ndarray:
    """int64 [class, cluster]: how many instances of each class are in each cluster."""
    return contingency_matrix(labels_true, labels_pred).astype(np.int64)


def f1_matched(table_CK: np.ndarray) -> float:
    f1_CK = _f1_of_cells(table_CK)
    # All F1 of a matching, so weighted, are worth less than one instance: they decide between equal ones only.
    class_, cluster = linear_sum_assignment(table_CK + f1_CK / (len(table_CK) + 1), maximize=True)
    return float(f1_CK[class_, cluster].sum() / len(table_CK))


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
    # Where every instance is alone on both sides, no pair is decided wrongly.
    return 2 * together / (same_class + same_cluster) if same_class + same_cluster else 1.0


def f1_bcubed(table_CK: np.ndarray) -> float:
    squared = table_CK.astype(float) ** 2
    precision = (squared / table_CK.sum(axis=0)).sum() / table_CK.sum()
    recall = (squared / table_CK.sum(axis=1, keepdims=True)).sum() / table_CK.sum()
    return float(2 * precision * recall / (precision + recall))


def purity(table_CK: np.ndarray) -> float:
    return float(table_CK.max(axis=0).sum() / table_CK.sum())


FROM_TABLE: dict[str, Callable[[np.ndarray], float]] = {
    "f1": f1_matched,
    "f1_majority": f1_majority,
    "f1_max_overlap": f1_max_overlap,
    "f1_pairwise": f1_pairwise,
    "f1_bcubed": f1_bcubed,
    "purity": purity,
}
FROM_LABELS: dict[str, Score] = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score}
SCORES = (*FROM_TABLE, *FROM_LABELS)


def score_all(labels_true: np.ndarray, labels_pred: np.ndarray, scores: Sequence[str] = SCORES) -> dict[str, float]:
    """The scores of one clustering: labels and clusters are int [instance], names are arbitrary."""
    table_CK = contingency(labels_true, labels_pred)
    return {
        name: FROM_TABLE[name](table_CK) if name in FROM_TABLE else float(FROM_LABELS[name](labels_true, labels_pred))
        for name in scores
    }


def _f1_of_cells(table_CK: np.ndarray) -> np.ndarray:
    """F1 of every class with every cluster, 2 n_ck / (n_c + n_k)."""
    size = table_CK.sum(axis=1, keepdims=True) + table_CK.sum(axis=0, keepdims=True)
    return np.divide(2 * table_CK, size, out=np.zeros(table_CK.shape), where=size > 0)
