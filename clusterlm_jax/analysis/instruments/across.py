"""Nearest neighbours across instruction distributions: is the task more than the look of its instructions? Ours.

The paper claims that "instances with instructions from different distributions are clustered together based on their
task identities" (3.2). The neighbours of figure 4 do not show it: most of them have the query's own distribution. Here
that distribution is left out, so a neighbour shares the task only if the model put two distributions of it together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist

from clusterlm_jax.analysis.instruments.neighbours import BLOCK

# Among all other distributions; among their instances with the query's input symbol; among those with another one.
ACROSS_SCORES = ("across", "across_same_input", "across_other_input")
Columns = Mapping[str, np.ndarray]


def across_scores(
    query_QD: np.ndarray, queries: Columns, reference_ND: np.ndarray, references: Columns, neighbours: int
) -> dict[str, tuple[float, float]]:
    """For each of `ACROSS_SCORES`: the mean share of neighbours with the query's task, and what chance gives.

    The chance of a query is the share of its task among all instances that may be its neighbours: the expected share
    for tasks shuffled among them. A query counts only where its task is there at all, so never for a task with one
    distribution. Instances as far away as the last neighbour are all neighbours in equal parts: at layer 0, where only
    25 points are distinct, their order in the dataset must not decide.

    Args:
      query_QD, reference_ND: states, [instance, width].
      queries, references: int columns `task`, `distribution` and `input` by name.
      neighbours: how many are looked at, or as many as there are.

    Returns:
      (share, chance) by score, each in [0, 1], or nan where no query counts.
    """
    found: dict[str, list[np.ndarray]] = {score: [] for score in ACROSS_SCORES}
    for start in range(0, len(query_QD), BLOCK):
        block = slice(start, start + BLOCK)
        distance_QN = cdist(query_QD[block], reference_ND, "sqeuclidean")
        same_QN = {
            name: references[name] == queries[name][block][:, None] for name in ("task", "distribution", "input")
        }
        other = ~same_QN["distribution"]
        for score, allowed_QN in zip(
            ACROSS_SCORES, (other, other & same_QN["input"], other & ~same_QN["input"]), strict=True
        ):
            found[score].append(_shares(distance_QN, same_QN["task"], allowed_QN, neighbours))
    return {score: _means(np.concatenate(blocks)) for score, blocks in found.items()}


def _shares(distance_QN: np.ndarray, same_task_QN: np.ndarray, allowed_QN: np.ndarray, neighbours: int) -> np.ndarray:
    """Share of the task among the nearest allowed references and among all allowed ones [query, 2]; nan without any."""
    allowed_Q = allowed_QN.sum(axis=1)
    wanted_Q = np.minimum(neighbours, allowed_Q)
    distance_QN = np.where(allowed_QN, distance_QN, np.inf)
    nearest_QK = np.sort(np.partition(distance_QN, min(neighbours, distance_QN.shape[1]) - 1, axis=1)[:, :neighbours])
    last_Q1 = np.take_along_axis(nearest_QK, np.maximum(wanted_Q - 1, 0)[:, None], axis=1)
    nearer_QN, tied_QN = distance_QN < last_Q1, allowed_QN & (distance_QN == last_Q1)
    part_Q = (wanted_Q - nearer_QN.sum(axis=1)) / np.maximum(tied_QN.sum(axis=1), 1)  # of a tied one
    hits_Q = (same_task_QN & nearer_QN).sum(axis=1) + part_Q * (same_task_QN & tied_QN).sum(axis=1)
    there_Q = (same_task_QN & allowed_QN).sum(axis=1)
    share_Q2 = np.stack([hits_Q / np.maximum(wanted_Q, 1), there_Q / np.maximum(allowed_Q, 1)], axis=1)
    return np.where(there_Q[:, None] > 0, share_Q2, np.nan)


def _means(share_Q2: np.ndarray) -> tuple[float, float]:
    counted = share_Q2[~np.isnan(share_Q2[:, 0])]
    share, chance = counted.mean(axis=0) if len(counted) else (np.nan, np.nan)
    return float(share), float(chance)
