"""Whether hard examples cluster with their own task or with the task whose instructions they resemble (2.2, 3.3)."""

from __future__ import annotations

import numpy as np

HARD_SCORES = ("hard_with_own", "hard_with_original")


def hard_scores(task_N: np.ndarray, original_N: np.ndarray, clusters_N: np.ndarray) -> dict[str, float]:
    """Shares of the hard examples that are with their own task and with their original, in [0, 1]; nan without any.

    A hard example is with its own task if its cluster has a larger share of that task's other instances than of the
    original task's instances, and with its original if the share is smaller. If the shares are equal, it is with
    neither.

    Args:
      task_N: int [instance].
      original_N: int [instance], of hard examples the task their instruction was made from, else -1.
      clusters_N: int [instance].
    """
    hard_X = np.flatnonzero(original_N >= 0)
    if not len(hard_X):
        return dict.fromkeys(HARD_SCORES, float("nan"))
    together_XN = clusters_N[hard_X, None] == clusters_N

    def share(members_XN: np.ndarray) -> np.ndarray:
        return (members_XN & together_XN).sum(axis=1) / np.maximum(members_XN.sum(axis=1), 1)

    other_XN = hard_X[:, None] != np.arange(len(task_N))
    own_X = share((task_N[hard_X, None] == task_N) & other_XN)
    original_X = share(original_N[hard_X, None] == task_N)
    # Shares can be compared as floats: division rounds the exact quotient, so equal fractions give equal floats.
    return dict(zip(HARD_SCORES, (float((own_X > original_X).mean()), float((own_X < original_X).mean())), strict=True))
