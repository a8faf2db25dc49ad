"""When each kind of cluster appears, and whether the accuracy rises after it or before (paper 3.2; ours)."""

from __future__ import annotations

from clusterlm_jax.report.claims import MARGIN
from clusterlm_jax.report.run import Curve, Run
from clusterlm_jax.report.tables import NEVER
from clusterlm_jax.report.words import LABEL_WORDS, SPACES

TIMED = {
    **{label: f"clusters by {words}" for label, words in LABEL_WORDS.items() if label != "position"},
    "neighbours": "neighbours with the same task",
    "accuracy": "validation accuracy",
}


def half_rise(curve: Curve) -> float:
    """First epoch at which a curve has covered half the way from its first value to its highest.

    Returns:
      An epoch of the curve; `NEVER` where the way is shorter than `MARGIN` or there is no curve.
    """
    if not curve:
        return NEVER
    start, most = way_of(curve)
    if most - start < MARGIN:
        return NEVER
    return next(epoch for epoch, value in curve.items() if value >= (start + most) / 2)


def way_of(curve: Curve) -> tuple[float, float]:
    """The first and the highest value."""
    return next(iter(curve.values())), max(curve.values())


def timed_curves(run: Run, space: str) -> dict[str, Curve]:
    """The curves whose rise is timed, validation, by name: the best block at each analysed epoch, and the accuracy."""
    curves = {label: run.over_blocks(max, label=label, reducer=space, score="f1") for label in LABEL_WORDS}
    curves["neighbours"] = run.over_blocks(max, score="knn_percentage")
    curves["accuracy"] = run.metrics.get("validation_accuracy", {})
    return {name: curves[name] for name in TIMED if curves[name]}


def scored_spaces(run: Run) -> list[str]:
    """The spaces whose task clusters are known at two epochs at least, in the order of `SPACES`."""
    return [space for space in SPACES if len(run.over_blocks(max, reducer=space, score="f1")) > 1]
