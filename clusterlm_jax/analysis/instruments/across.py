"""Nearest neighbours from other instruction distributions. Not in the paper.

The paper claims that "instances with instructions from different distributions are clustered together based on their
task identities" (3.2). The neighbours of figure 4 do not test this, because most of them have the query's own
distribution. Here that distribution is left out. A neighbour then shares the task only if the model put two
distributions of the task close together, although their instructions look different.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clusterlm_jax.analysis.instruments.distances import BLOCK, References

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
    near, found = References(reference_ND), {}
    for start in range(0, len(query_QD), BLOCK):
        block = slice(start, start + BLOCK)
        same_QN = {
            name: references[name] == queries[name][block][:, None]
            for name in ("task", "distribution", "input")
            if name in references
        }
        other = ~same_QN["distribution"]
        among = [other, *([other & same_QN["input"], other & ~same_QN["input"]] if "input" in same_QN else [])]
        index_QM, distance_QM = near.candidates(query_QD[block], among, neighbours)
        task_QM = np.take_along_axis(same_QN["task"], index_QM, axis=1)
        for score, allowed_QN in zip(ACROSS_SCORES, among, strict=False):
            allowed_QM = np.take_along_axis(allowed_QN, index_QM, axis=1)
            share_Q = _shares(np.where(allowed_QM, distance_QM, np.inf), task_QM, allowed_QN.sum(axis=1), neighbours)
            chance_Q = (same_QN["task"] & allowed_QN).sum(axis=1) / np.maximum(allowed_QN.sum(axis=1), 1)
            found.setdefault(score, []).append(np.stack([share_Q, chance_Q], axis=1)[chance_Q > 0])
    return {score: _means(np.concatenate(blocks)) for score, blocks in found.items()}


def _shares(distance_QM: np.ndarray, same_task_QM: np.ndarray, allowed_Q: np.ndarray, neighbours: int) -> np.ndarray:
    """Share of the query's task among its nearest candidates, [query].

    Args:
      distance_QM: of the nearest candidates of each query and perhaps of others, in any order; inf is none.
      same_task_QM: whether they have the query's task.
      allowed_Q: how many candidates there are.
    """
    wanted_Q = np.minimum(neighbours, allowed_Q)
    last_Q1 = np.take_along_axis(np.sort(distance_QM, axis=1), np.maximum(wanted_Q - 1, 0)[:, None], axis=1)
    nearer_QM, tied_QM = distance_QM < last_Q1, np.isfinite(distance_QM) & (distance_QM == last_Q1)
    # The places left after the nearer candidates are divided among the tied ones.
    part_Q = (wanted_Q - nearer_QM.sum(axis=1)) / np.maximum(tied_QM.sum(axis=1), 1)
    hits_Q = (same_task_QM & nearer_QM).sum(axis=1) + part_Q * (same_task_QM & tied_QM).sum(axis=1)
    return hits_Q / np.maximum(wanted_Q, 1)


def _means(share_Q2: np.ndarray) -> tuple[float, float]:
    share, chance = share_Q2.mean(axis=0) if len(share_Q2) else (np.nan, np.nan)
    return float(share), float(chance)
