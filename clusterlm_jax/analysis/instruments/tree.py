"""The best cut of a hierarchical clustering for each label: which label is the coarse level? Ours.

The paper finds distributions and mappings as "inner clustering structures within the task-specific clusters" (3.2).
KMeans with k = number of tasks cannot tell: k decides the level. Ward's tree holds all levels at once, so each label
may choose its own number of clusters.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import linkage

from clusterlm_jax.analysis.scores import f1_matched

TREE_SCORES = ("tree_f1", "tree_clusters")
ROUNDING = 1e-9  # heights are equal that differ by less, as a share of them


def ward(hidden_ND: np.ndarray) -> np.ndarray:
    """Ward's tree (1963), as `scipy.cluster.hierarchy.linkage` gives it: the two nodes of each merge come first."""
    return linkage(hidden_ND.astype(np.float64), method="ward")


def best_cut(tree: np.ndarray, label_N: np.ndarray) -> tuple[float, int]:
    """The best matched F1 of a label over all cuts of the tree, and the number of clusters; of equal ones the fewest.

    A cut is at a height: merges of one height are done together or not at all. Equal states, which merge at height 0,
    would otherwise be told apart by their order in the dataset.

    Matching clusters to classes is slow, so only cuts that may still win are matched: F1 is at most the mean over the
    classes of their best F1 with any cluster.
    """
    class_N = np.unique(label_N, return_inverse=True)[1]
    instances = len(class_N)
    table_CM = np.zeros((class_N.max() + 1, instances + len(tree)), np.int64)  # M: node; the first are single instances
    table_CM[class_N, np.arange(instances)] = 1
    for merge, (left, right) in enumerate(tree[:, :2].astype(int)):
        table_CM[:, instances + merge] = table_CM[:, left] + table_CM[:, right]
    f1_CM = 2 * table_CM / (np.bincount(class_N)[:, None] + table_CM.sum(axis=0))
    nodes_of, bound_of = {}, {}
    there = np.arange(table_CM.shape[1]) < instances
    heights = [0, *tree[:, 2], np.inf]
    for merge in range(len(tree) + 1):
        if merge:
            there[tree[merge - 1, :2].astype(int)] = False
            there[instances + merge - 1] = True
        if heights[merge + 1] <= heights[merge] * (1 + ROUNDING):
            continue
        clusters = instances - merge
        nodes_of[clusters] = np.flatnonzero(there)
        bound_of[clusters] = f1_CM[:, nodes_of[clusters]].max(axis=1).mean()
    best, best_clusters = -1.0, 0
    for clusters in sorted(bound_of, key=lambda clusters: (-bound_of[clusters], clusters)):
        if bound_of[clusters] < best:
            break
        f1 = f1_matched(table_CM[:, nodes_of[clusters]])
        if f1 > best or (f1 == best and clusters < best_clusters):
            best, best_clusters = f1, clusters
    return best, best_clusters
