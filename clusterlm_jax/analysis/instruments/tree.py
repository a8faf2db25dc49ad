"""The best cut of a hierarchical clustering for each label. It shows which label is the coarse level. Not in the paper.

The paper finds distributions and mappings as "inner clustering structures within the task-specific clusters" (3.2).
KMeans cannot test this, because its k decides the level that it finds. Ward's tree has all levels at once, so each
label can have the number of clusters that suits it best.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.cluster.hierarchy import linkage

from clusterlm_jax.analysis.scores import f1_matched

TREE_SCORES = ("tree_f1", "tree_clusters")
ROUNDING = 1e-9  # heights with a smaller relative difference count as equal


def ward(hidden_ND: np.ndarray) -> np.ndarray:
    """Ward's tree (1963) as from `scipy.cluster.hierarchy.linkage`: columns 0 and 1 are the nodes of each merge."""
    return linkage(hidden_ND.astype(np.float64), method="ward")


def best_cut(tree: np.ndarray, label_N: np.ndarray) -> tuple[float, int]:
    """The best matched F1 of a label over all cuts of the tree, and its number of clusters (the fewest, if tied).

    A cut is at a height, so merges of the same height are done together or not at all. Otherwise equal states, which
    merge at height 0, would be separated by their order in the dataset.

    Matching clusters to classes is slow. So cuts are tried in the order of an upper bound that is cheap, and the search
    ends when the bound falls below the best F1 found. The bound drops the condition that the matching is one to one: it
    is the mean over the classes of their best F1 with any cluster.
    """
    class_N = np.unique(label_N, return_inverse=True)[1]
    instances = len(class_N)
    # M: node of the tree. The first nodes are the instances, the others the merges in their order.
    table_CK = np.zeros((class_N.max() + 1, instances + len(tree)), np.int64)
    table_CK[class_N, np.arange(instances)] = 1
    for merge, (left, right) in enumerate(tree[:, :2].astype(int)):
        table_CK[:, instances + merge] = table_CK[:, left] + table_CK[:, right]
    f1_CK = 2 * table_CK / (np.bincount(class_N)[:, None] + table_CK.sum(axis=0))
    nodes_of = {len(nodes): nodes for nodes in _cuts(tree.tobytes())}
    bound_of = {clusters: f1_CK[:, nodes].max(axis=1).mean() for clusters, nodes in nodes_of.items()}
    best, best_clusters = -1.0, 0
    for clusters in sorted(bound_of, key=lambda clusters: (-bound_of[clusters], clusters)):
        if bound_of[clusters] < best:
            break
        f1 = f1_matched(table_CK[:, nodes_of[clusters]])
        if f1 > best or (f1 == best and clusters < best_clusters):
            best, best_clusters = f1, clusters
    return best, best_clusters


@functools.lru_cache(maxsize=1)  # one tree is cut for every label and every draw of one
def _cuts(tree: bytes) -> list[np.ndarray]:
    """The clusters of each cut, as nodes of the tree, the most clusters first."""
    merges = np.frombuffer(tree).reshape(-1, 4)
    instances, cuts = len(merges) + 1, []
    # Do the merges in the order of their heights. `there` are the clusters after each: the nodes not yet merged.
    there = np.arange(instances + len(merges)) < instances
    heights = [0, *merges[:, 2], np.inf]
    for merge in range(len(merges) + 1):
        if merge:
            there[merges[merge - 1, :2].astype(int)] = False
            there[instances + merge - 1] = True
        if heights[merge + 1] > heights[merge] * (1 + ROUNDING):  # else the next merge is at the same height: no cut
            cuts.append(np.flatnonzero(there))
    return cuts
