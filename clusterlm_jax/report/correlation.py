"""How task performance and task clusters go together over training (paper G.4, figure 15)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clusterlm_jax.analysis.correlation import correlate
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.words import SCORE_WORDS

PERFORMANCES = ("accuracy", "loss")
Correlations = dict[tuple[str, str], dict[str, float]]  # (performance, score) -> layer -> r


def correlations(run: Run) -> Correlations:
    """Pearson r: task label, validation split, over the analysed epochs; the mean of the seeds' r where several are.

    Raises:
      NotRun: fewer than three analysed epochs, or no validation metrics.
    """
    return _combine(np.mean, run)


def correlation_deviations(run: Run) -> Correlations:
    """The sample standard deviation of r over the seeds; empty for one seed."""
    return _combine(lambda values: np.std(values, ddof=1), run) if run.members else {}


def _combine(statistic: Callable[[list[float]], float], run: Run) -> Correlations:
    each = [_correlations(member) for member in run.each_seed]
    return {
        key: {layer: float(statistic([table[key].get(layer, np.nan) for table in each])) for layer in values}
        for key, values in each[0].items()
    }


def _correlations(run: Run) -> Correlations:
    if len(run.epochs) < 3:
        raise NotRun("fewer than three epochs have been analysed")
    return {
        (performance, score): {
            layer: correlate(_performance(run, performance), run.curve(score, "task", "validation", layer))
            for layer in run.layers
        }
        for performance in PERFORMANCES
        for score in SCORE_WORDS
    }


def _performance(run: Run, performance: str) -> Curve:
    curve = run.metrics.get(f"validation_{performance}")
    if not curve:
        raise NotRun(f"there is no validation {performance}")
    return curve
