"""How task performance and task clusters go together over training (paper G.4, figure 15)."""

from __future__ import annotations

import numpy as np

from clusterlm_jax.report.run import Curve, NotRun, Run

PERFORMANCES = ("accuracy", "loss")
SCORES = ("f1", "ari", "ami")


def correlations(run: Run) -> dict[tuple[str, str], dict[str, float]]:
    """Pearson r by (performance, score) and layer: task label, validation split, over the analysed epochs.

    Raises:
      NotRun: fewer than three analysed epochs, or no validation metrics.
    """
    if len(run.epochs) < 3:
        raise NotRun("fewer than three epochs have been analysed")
    return {
        (performance, score): {
            layer: _pearson(_performance(run, performance), run.curve(score, "task", "validation", layer))
            for layer in run.layers
        }
        for performance in PERFORMANCES
        for score in SCORES
    }


def _performance(run: Run, performance: str) -> Curve:
    curve = run.metrics.get(f"validation_{performance}")
    if not curve:
        raise NotRun(f"there is no validation {performance}")
    return curve


def _pearson(one: Curve, other: Curve) -> float:
    """r over the epochs both have; nan where one of them is constant."""
    epochs = sorted(one.keys() & other.keys())
    pairs_2E = np.array([[curve[epoch] for epoch in epochs] for curve in (one, other)])
    if len(epochs) < 2 or np.any(np.ptp(pairs_2E, axis=1) == 0):
        return float("nan")
    return float(np.corrcoef(pairs_2E)[0, 1])
