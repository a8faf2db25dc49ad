"""Hard examples: with their own task, or with the one whose instructions they resemble? (paper 2.2, 3.3)"""

from __future__ import annotations

import numpy as np

HARD_SCORES = ("hard_with_own", "hard_with_original")


def hard_scores(task_N: np.ndarray, original_N: np.ndarray, clusters_N: np.ndarray) -> dict[str, float]:
    """Shares of the hard examples, in [0, 1]; nan where there are none.

    A hard example sits rather with its own task if its cluster holds a larger share of that task's other instances
    than of its original's instances. Where the shares are equal it sits with neither.

    Args:
      task_N: int [instance].
      original_N: int [instance], the task an altered instruction was made from, else -1.
      clusters_N: int [instance].
    """
    hard_H = np.flatnonzero(original_N >= 0)
    if not len(hard_H):
        return dict.fromkeys(HARD_SCORES, float("nan"))
    together_HN = clusters_N[hard_H, None] == clusters_N

    def share(members_HN: np.ndarray) -> np.ndarray:
        return (members_HN & together_HN).sum(axis=1) / np.maximum(members_HN.sum(axis=1), 1)

    other_HN = hard_H[:, None] != np.arange(len(task_N))
    own_H = share((task_N[hard_H, None] == task_N) & other_HN)
    original_H = share(original_N[hard_H, None] == task_N)
    # Equal fractions are equal floats: a quotient is rounded from its exact value.
    return dict(zip(HARD_SCORES, (float((own_H > original_H).mean()), float((own_H < original_H).mean())), strict=True))
