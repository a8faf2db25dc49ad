"""Nearest neighbours from other instruction distributions. Not in the paper.

The paper claims that "instances with instructions from different distributions are clustered together based on their
task identities" (3.2). The neighbours of figure 4 do not test this, because most of them have the query's own
distribution. Here that distribution is left out. A neighbour then shares the task only if the model put two
distributions of the task close together, although their instructions look different.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist

from clusterlm_jax.analysis.instruments.neighbours import BLOCK

# Neighbours among all instances of other distributions; only those with the query's input symbol; only those without.
ACROSS_SCORES = ("across", "across_same_input", "across_other_input")
Columns = Mapping[str, np.ndarray]


def across_scores(
    query_QD: np.ndarray, queries: Columns, reference_ND: np.ndarray, references: Columns, neighbours: int
) -> dict[str, tuple[float, float]]:
    """For each of `ACROSS_SCORES`: the mean share of neighbours with the query's task, and the share by chance.

    The chance of a query is the share of its task among all candidates: the expected share if the tasks of the
    candidates were shuffled. A query counts only if some candidate has its task, so never if its task has a single
    distribution. If several candidates are as far away as the last neighbour, they are neighbours in equal parts: at
    layer 0 only 25 points are distinct, and the order in the dataset must not decide between equal ones.

    Args:
      query_QD, reference_ND: states, [instance, width].
      queries, references: int columns `task`, `distribution` and, if it is known, `input` by name.
      neighbours: number of neighbours to use, or all candidates if there are fewer.

    Returns:
      (share, chance) by score, each in [0, 1], or nan if no query counts. Without inputs there is the first score.
    """
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(query_QD), BLOCK):  # in blocks, to bound the memory
        block = slice(start, start + BLOCK)
        distance_QN = cdist(query_QD[block], reference_ND, "sqeuclidean")
        same_QN = {
            name: references[name] == queries[name][block][:, None]
            for name in ("task", "distribution", "input")
            if name in references
        }
        other = ~same_QN["distribution"]
        among = [other, *([other & same_QN["input"], other & ~same_QN["input"]] if "input" in same_QN else [])]
        for score, allowed_QN in zip(ACROSS_SCORES, among, strict=False):
            found.setdefault(score, []).append(_shares(distance_QN, same_QN["task"], allowed_QN, neighbours))
    return {score: _means(np.concatenate(blocks)) for score, blocks in found.items()}


def _shares(distance_QN: np.ndarray, same_task_QN: np.ndarray, allowed_QN: np.ndarray, neighbours: int) -> np.ndarray:
    """Share of the query's task among its nearest candidates and among all of them, [query, 2].

    The candidates are the references where `allowed_QN`. Both shares are nan if no candidate has the task.
    """
    allowed_Q = allowed_QN.sum(axis=1)
    wanted_Q = np.minimum(neighbours, allowed_Q)
    distance_QN = np.where(allowed_QN, distance_QN, np.inf)
    nearest_QP = np.sort(np.partition(distance_QN, min(neighbours, distance_QN.shape[1]) - 1, axis=1)[:, :neighbours])
    last_Q1 = np.take_along_axis(nearest_QP, np.maximum(wanted_Q - 1, 0)[:, None], axis=1)
    nearer_QN, tied_QN = distance_QN < last_Q1, allowed_QN & (distance_QN == last_Q1)
    # The places left after the nearer candidates are divided among the tied ones.
    part_Q = (wanted_Q - nearer_QN.sum(axis=1)) / np.maximum(tied_QN.sum(axis=1), 1)
    hits_Q = (same_task_QN & nearer_QN).sum(axis=1) + part_Q * (same_task_QN & tied_QN).sum(axis=1)
    there_Q = (same_task_QN & allowed_QN).sum(axis=1)
    share_Q2 = np.stack([hits_Q / np.maximum(wanted_Q, 1), there_Q / np.maximum(allowed_Q, 1)], axis=1)
    return np.where(there_Q[:, None] > 0, share_Q2, np.nan)


def _means(share_Q2: np.ndarray) -> tuple[float, float]:
    counted = share_Q2[~np.isnan(share_Q2[:, 0])]
    share, chance = counted.mean(axis=0) if len(counted) else (np.nan, np.nan)
    return float(share), float(chance)
