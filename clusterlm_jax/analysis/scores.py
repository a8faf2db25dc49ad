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

import functools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

SMALLEST = float(np.finfo(float).eps)  # what rounding may leave of a difference that is not 0


def contingency(labels_true: np.ndarray, labels_pred: np.ndarray) -> np.ndarray:
    """int64 [class, cluster]: how many instances of each class are in each cluster."""
    (classes, class_N), (clusters, cluster_N) = (np.unique(a, return_inverse=True) for a in (labels_true, labels_pred))
    shape = len(classes), len(clusters)
    return np.bincount(class_N * shape[1] + cluster_N, minlength=shape[0] * shape[1]).reshape(shape)


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


def ari(table_CK: np.ndarray) -> float:
    """The adjusted Rand index (Hubert and Arabie, 1985) in whole numbers, as scikit-learn's."""
    size = int(table_CK.sum())
    margins = table_CK, table_CK.sum(axis=1), table_CK.sum(axis=0)
    both, classes, clusters = (int((count**2).sum()) for count in margins)
    together, apart = both - size, size**2 - classes - clusters + both  # ordered pairs: in both, in neither
    same_class, same_cluster = classes - both, clusters - both  # in one of them alone
    if same_class == same_cluster == 0:
        return 1.0
    most = (together + same_class) * (same_class + apart) + (together + same_cluster) * (same_cluster + apart)
    return 2.0 * (together * apart - same_class * same_cluster) / most


def ami(table_CK: np.ndarray) -> float:
    """Adjusted mutual information (Vinh et al., 2010) with the arithmetic mean of the entropies, as scikit-learn's.

    What depends on the sizes of classes and clusters alone is computed once for all draws of a shuffled label.
    """
    if 1 in table_CK.shape:
        return float(table_CK.shape == (1, 1))
    class_C, cluster_K = table_CK.sum(axis=1), table_CK.sum(axis=0)
    expected, most = _information_by_chance(class_C.tobytes(), cluster_K.tobytes())
    of_class, cluster = np.nonzero(table_CK)
    count, size = table_CK[of_class, cluster], table_CK.sum()
    share, log_size = count / size, np.log(size)
    # In scikit-learn's order of sums, so that even the rounding is the same.
    by_chance = -np.log(class_C[of_class] * cluster_K[cluster]) + log_size + log_size
    information = share * (np.log(count) - log_size) + share * by_chance
    found = max(np.where(np.abs(information) < SMALLEST, 0.0, information).sum(), 0.0)
    return float(_not_zero(found - expected) / _not_zero(most - expected))


@functools.lru_cache(maxsize=64)
def _information_by_chance(classes: bytes, clusters: bytes) -> tuple[float, float]:
    """Mutual information of labelings with these int64 sizes: expected by chance, and the mean of their entropies."""
    from sklearn.metrics.cluster import expected_mutual_information  # slow to import, and only workers need it

    class_C, cluster_K = np.frombuffer(classes, np.int64), np.frombuffer(clusters, np.int64)
    size = class_C.sum()
    # scikit-learn reads nothing of a table but its sums, so any labelings with these sizes will do.
    table_CK = contingency(*(np.repeat(np.arange(len(count)), count) for count in (class_C, cluster_K)))
    entropies = [-((count / size) * (np.log(count) - np.log(size))).sum() for count in (class_C, cluster_K)]
    return expected_mutual_information(table_CK, size), float(np.mean(entropies))


def _not_zero(difference: float) -> float:
    """A difference that is at least `SMALLEST` in size: of labelings alike, it would be 0 / 0."""
    return min(difference, -SMALLEST) if difference < 0 else max(difference, SMALLEST)


FROM_TABLE: dict[str, Callable[[np.ndarray], float]] = {
    "f1": f1_matched,
    "f1_majority": f1_majority,
    "f1_max_overlap": f1_max_overlap,
    "f1_pairwise": f1_pairwise,
    "f1_bcubed": f1_bcubed,
    "purity": purity,
    "ari": ari,
    "ami": ami,
}
SCORES = tuple(FROM_TABLE)


def score_all(labels_true: np.ndarray, labels_pred: np.ndarray, scores: Sequence[str] = SCORES) -> dict[str, float]:
    """Scores of one clustering by name. Labels and clusters are int [instance]; their values are arbitrary names."""
    table_CK = contingency(labels_true, labels_pred)
    return {name: FROM_TABLE[name](table_CK) for name in scores}


def _f1_of_cells(table_CK: np.ndarray) -> np.ndarray:
    """F1 of every class c with every cluster k: 2 n_ck / (n_c + n_k)."""
    size = table_CK.sum(axis=1, keepdims=True) + table_CK.sum(axis=0, keepdims=True)
    return np.divide(2 * table_CK, size, out=np.zeros(table_CK.shape), where=size > 0)
