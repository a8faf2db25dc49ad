"""How much of the variance of hidden states a label explains."""

from __future__ import annotations

import numpy as np


def group_sums(states_ND: np.ndarray, group_N: np.ndarray, groups: int) -> np.ndarray:
    """The sum of the states of each group, float64 [group, width]. Groups are numbers from 0; each has an instance.

    Rows are added one after another. `np.add.at` does the same forty times as slowly.
    """
    return np.stack([states_ND[group_N == group].sum(axis=0, dtype=np.float64) for group in range(groups)])


def without_group_means(
    hidden_ND: np.ndarray, label_N: np.ndarray, reference_MD: np.ndarray, reference_label_M: np.ndarray
) -> np.ndarray:
    """States minus the mean reference state of their label, float32 [instance, width].

    Every label of `label_N` must occur in `reference_label_M`.
    """
    label_G, group_M, count_G = np.unique(reference_label_M, return_inverse=True, return_counts=True)
    mean_GD = group_sums(reference_MD, group_M, len(label_G)) / count_G[:, None]
    return (hidden_ND - mean_GD[np.searchsorted(label_G, label_N)]).astype(np.float32)


def variance_share(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """Between-group sum of squares divided by the total sum of squares, in [0, 1]; 0 if all states are equal.

    By chance, a label with g groups explains (g - 1) / (n - 1) of n unrelated points. States are float32 [instance,
    width]; their mean is computed in float64, so that equal states give a total of exactly 0.
    """
    centred_ND = hidden_ND - hidden_ND.mean(axis=0, dtype=np.float64)
    total = float((centred_ND**2).sum())
    if total == 0:
        return 0.0
    _, group_N, count_G = np.unique(label_N, return_inverse=True, return_counts=True)
    return float((group_sums(centred_ND, group_N, len(count_G)) ** 2 / count_G[:, None]).sum()) / total
