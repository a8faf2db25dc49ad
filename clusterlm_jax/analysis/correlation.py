"""Does task performance go with clustering? Pearson's r over training, layer by layer (paper G.4, figure 15)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def pearson(x_E: np.ndarray, y_E: np.ndarray) -> float:
    """Pearson's r of two series over epochs; nan where one is constant or shorter than two."""
    if len(x_E) < 2 or np.ptp(x_E) == 0 or np.ptp(y_E) == 0:
        return float("nan")
    return float(np.corrcoef(x_E, y_E)[0, 1])


def correlate(performance: Mapping[int, float], clustering: Mapping[int, float]) -> float:
    """Pearson's r of two curves {epoch: value} over the epochs they share."""
    shared = sorted(performance.keys() & clustering.keys())
    return pearson(np.array([performance[e] for e in shared]), np.array([clustering[e] for e in shared]))
