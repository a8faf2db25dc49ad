"""Whether hard examples cluster with their own task or with the task whose instructions they resemble (2.2, 3.3)."""

from __future__ import annotations

import numpy as np

KINDS = ("hard", "hard_leaving", "hard_matching")
HARD_SCORES = tuple(f"{kind}_with_{whose}" for kind in KINDS for whose in ("own", "original"))


def hard_scores(
    task_N: np.ndarray, original_N: np.ndarray, matching_N: np.ndarray, clusters_N: np.ndarray
) -> dict[str, float]:
    """Shares of the hard examples that are with their own task and with their original, in [0, 1]; nan without any.

    Of all; of those that left the expression they were made from (`leaving`); of those that still match (`matching`).

    A hard example is with its own task if its cluster has a larger share of that task's other instances than of the
    original task's instances, and with its original if the share is smaller. If the shares are equal, it is with
    neither.

    Args:
      task_N: int [instance].
      original_N: int [instance], of hard examples the task their instruction was made from, else -1.
      matching_N: int [instance], of hard examples 1 if they still match, 0 if not, -1 if that is not known.
      clusters_N: int [instance].
    """
    hard_X = np.flatnonzero(original_N >= 0)
    together_XN = clusters_N[hard_X, None] == clusters_N

    def share(members_XN: np.ndarray) -> np.ndarray:
        return (members_XN & together_XN).sum(axis=1) / np.maximum(members_XN.sum(axis=1), 1)

    other_XN = hard_X[:, None] != np.arange(len(task_N))
    own_X = share((task_N[hard_X, None] == task_N) & other_XN)
    original_X = share(original_N[hard_X, None] == task_N)
    # Shares can be compared as floats: division rounds the exact quotient, so equal fractions give equal floats.
    with_X = {"own": own_X > original_X, "original": own_X < original_X}
    matching_X = matching_N[hard_X]
    of_kind_X = dict(zip(KINDS, (matching_X >= -1, matching_X == 0, matching_X == 1), strict=True))
    return {
        f"{kind}_with_{whose}": float(is_X[of_X].mean()) if of_X.any() else float("nan")
        for kind, of_X in of_kind_X.items()
        for whose, is_X in with_X.items()
    }
