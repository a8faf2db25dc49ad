"""Clusters by task among the instances of one input symbol. Not in the paper.

The input symbol explains most of the variance at the input token, and several tasks share an input symbol. Among
instances with the same input symbol that difference is gone; they differ only in their instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from clusterlm_jax.analysis.nulls import NULL_SCORES, draw
from clusterlm_jax.analysis.scores import score_all

WITHIN_SCORES = tuple(f"within_input_{score}" for score in NULL_SCORES)
Clustering = Callable[[np.ndarray, int, int], np.ndarray]  # points, number of clusters, input symbol -> clusters


def within_input_scores(
    hidden_ND: np.ndarray,
    columns: Mapping[str, np.ndarray],
    cluster: Clustering,
    nulls: Mapping[str, np.random.Generator],
    draws: int,
) -> dict[tuple[str, str], float]:
    """Scores by (label, score): how well clusters inside each input symbol match tasks; the mean over input symbols.

    Input symbols that only one task has are left out. If there are no others, the scores are nan.

    Args:
      hidden_ND: states, [instance, width].
      columns: int columns `task`, `input` and what the nulls are drawn from (`distribution`), by name.
      cluster: the clustering; it is asked for as many clusters as tasks have the input symbol.
      nulls: null labels of the task, each with its generator.
      draws: number of draws of each null label in each input symbol; its score is their mean.
    """
    found: dict[str, list[list[float]]] = {label: [] for label in ("task", *nulls)}
    for symbol in np.unique(columns["input"]):
        here = columns["input"] == symbol
        group = {name: column[here] for name, column in columns.items()}
        tasks = len(np.unique(group["task"]))
        if tasks < 2:
            continue
        clusters = cluster(hidden_ND[here], tasks, int(symbol))
        found["task"].append(_scores(group["task"], clusters))
        for null, rng in nulls.items():
            found[null].append(np.mean([_scores(draw(null, group, rng), clusters) for _ in range(draws)], axis=0))
    return {
        (label, score): float(np.mean([row[place] for row in rows])) if rows else float("nan")
        for label, rows in found.items()
        for place, score in enumerate(WITHIN_SCORES)
    }


def _scores(task_N: np.ndarray, clusters_N: np.ndarray) -> list[float]:
    return list(score_all(task_N, clusters_N, NULL_SCORES).values())
