"""What clusters would score that are none by task: the null baselines beside the trained model (ours).

The paper argues that the clusters are not by surface alone (3.2); these lines hold that against numbers.
"""

from __future__ import annotations

import numpy as np

from clusterlm_jax.report.run import Curve, Run

NULLS = {
    "symbols": "bag of instruction symbols",
    "untrained": "untrained model",
    "regrouped": "distributions dealt anew",
    "shuffled": "labels dealt anew",
}
DEALT = ("regrouped", "shuffled")  # the names of their labels begin so


def null_curves(run: Run, score: str, label: str, split: str, reducer: str | None = None) -> dict[str, Curve]:
    """Each null that has been scored, over the analysed epochs: constant, or the mean of the blocks."""
    trained = run.over_blocks(max, score, label, split, reducer)
    constants = {"symbols": run.symbols.get(run.key(score, label, split, "0", reducer)), "untrained": trained.get(0)}
    curves = {name: dict.fromkeys(trained, value) for name, value in constants.items() if value is not None}
    curves |= {name: run.over_blocks(np.mean, score, f"{name}_{label}", split, reducer) for name in DEALT}
    return {name: curve for name, curve in curves.items() if curve}


def null_values(
    run: Run, score: str, split: str, block: str, epoch: int, reducer: str | None = None
) -> dict[str, float | None]:
    """What each null scores by task beside a block of the trained model at an epoch; None where it was not run.

    Labels are dealt anew in that very block; the untrained model is taken in its own best one.
    """
    values = {name: run.curve(score, f"{name}_task", split, block, reducer).get(epoch) for name in DEALT}
    values["symbols"] = run.symbols.get(run.key(score, "task", split, "0", reducer))
    values["untrained"] = run.over_blocks(max, score, "task", split, reducer).get(0)
    return {name: values[name] for name in NULLS}
