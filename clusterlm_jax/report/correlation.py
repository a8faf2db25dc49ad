"""How task performance and task clusters go together over training (paper G.4, figure 15)."""

from __future__ import annotations

from clusterlm_jax.analysis.correlation import correlate
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.words import SCORE_WORDS

PERFORMANCES = ("accuracy", "loss")


def correlations(run: Run) -> dict[tuple[str, str], dict[str, float]]:
    """Pearson r by (performance, score) and layer: task label, validation split, over the analysed epochs.

    Raises:
      NotRun: fewer than three analysed epochs, or no validation metrics.
    """
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
