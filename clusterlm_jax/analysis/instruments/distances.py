"""The nearest references of queries: all distances roughly, by a matrix product, and the few that matter exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

BLOCK = 512  # queries to compare at a time, which bounds the memory for their distances
# Where float32 overflows there is no number, and what has none is found.
OVERFLOWING = np.errstate(over="ignore", invalid="ignore")
EPSILON = np.finfo(np.float32).eps
MORE_ROUNDING = 16  # of norms, of differences from the mean and of sums of three, in EPSILON; about 8 at most


class References:
    """States among which the nearest are found.

    |q - r|² = |q|² - 2qr + |r|² takes one matrix product, but its rounding could tear equal distances apart (at layer 0
    only 25 points are distinct) or swap near ones. So it only tells which references cannot be among the nearest: those
    that are farther than enough others, whatever rounding did to both.

    Args:
      reference_ND: states, float32 [instance, width].
    """

    @OVERFLOWING
    def __init__(self, reference_ND: np.ndarray) -> None:
        self._reference_ND, self._middle_D = reference_ND, reference_ND.mean(axis=0)
        self._centred_ND, self._length_N = self._centred(reference_ND)

    @OVERFLOWING
    def candidates(
        self, query_QD: np.ndarray, allowed: Sequence[np.ndarray], wanted: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """For each query the references that may be among its nearest in some set, and a few more.

        Args:
          query_QD: as the references.
          allowed: the sets, each bool [query, reference].
          wanted: how many of the nearest; those that tie with the last one are all found.

        Returns:
          Their indices, ascending, and squared distances, both [query, candidate]. Distances are summed term by term in
          float64: equal points have exactly equal ones. Rows of fewer candidates end in index 0 at distance infinity.
        """
        centred_QD, length_Q = self._centred(query_QD)
        rough_QN = centred_QD @ self._centred_ND.T
        rough_QN *= -2
        rough_QN += (length_Q**2)[:, None]
        rough_QN += self._length_N**2
        # In any order of its sums, 2qr is off by D EPSILON |q||r| at most, and |q||r| <= (|q| + |r|)² / 4.
        slack_QN = np.add.outer(length_Q, self._length_N)
        slack_QN *= slack_QN
        slack_QN *= EPSILON * np.float32(query_QD.shape[1] / 4 + MORE_ROUNDING)
        least_QN, most_QN = rough_QN - slack_QN, np.add(rough_QN, slack_QN, out=rough_QN)
        found_QN = np.zeros(least_QN.shape, bool)
        for allowed_QN in allowed:
            here_QN = np.where(allowed_QN, most_QN, np.float32(np.inf))
            here_QN.partition(min(wanted, here_QN.shape[1]) - 1, axis=1)
            last_Q1 = here_QN[:, min(wanted, here_QN.shape[1]) - 1, None]
            found_QN |= allowed_QN & ~(least_QN > last_Q1)
        return self._exact(query_QD, found_QN)

    def _centred(self, states_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States less the mean reference, about which they are shortest and rounding is least; and their lengths."""
        centred_MD = states_MD - self._middle_D
        return centred_MD, np.sqrt(np.einsum("md,md->m", centred_MD, centred_MD, dtype=np.float64)).astype(np.float32)

    def _exact(self, query_QD: np.ndarray, found_QN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count_Q = found_QN.sum(axis=1)
        index_QM = np.zeros((len(query_QD), count_Q.max(initial=0)), int)
        distance_QM = np.full(index_QM.shape, np.inf)
        for row, count in enumerate(count_Q):
            index_QM[row, :count] = index = np.flatnonzero(found_QN[row])
            distance_QM[row, :count] = cdist(query_QD[row, None], self._reference_ND[index], "sqeuclidean")
        return index_QM, distance_QM
