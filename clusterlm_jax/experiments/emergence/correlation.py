"""How task performance and task clusters go together over training: Pearson's r by layer (paper G.4, figure 15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.words import SCORE_WORDS

PERFORMANCES = ("accuracy", "loss")
Correlations = dict[tuple[str, str], dict[str, float]]  # (performance, score) -> layer -> r


def correlations(run: Run) -> Correlations:
    """Pearson's r: task label, validation split, over the analysed epochs; of several seeds the mean of their r.

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
    found: Correlations = {}
    for performance in PERFORMANCES:
        metric = run.metrics.get(f"validation_{performance}")
        if not metric:
            raise NotRun(f"there is no validation {performance}")
        for score in SCORE_WORDS:
            curves = {layer: run.curve(layer=layer, score=score) for layer in run.layers}
            found[performance, score] = {layer: correlate(metric, curve) for layer, curve in curves.items()}
    return found


def correlate(performance: Mapping[int, float], clustering: Mapping[int, float]) -> float:
    """Pearson's r of two curves {epoch: value} over the epochs they share; nan where one is constant or too short."""
    shared = sorted(performance.keys() & clustering.keys())
    x_E, y_E = (np.array([curve[epoch] for epoch in shared]) for curve in (performance, clustering))
    if len(shared) < 2 or np.ptp(x_E) == 0 or np.ptp(y_E) == 0:
        return float("nan")
    return float(np.corrcoef(x_E, y_E)[0, 1])
