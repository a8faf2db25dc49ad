"""Clusters by task among the instances of one input symbol. Not in the paper.

The input symbol explains most of the variance at the input token, and several tasks share an input symbol. Among
instances with the same input symbol that difference is gone; they differ only in their instructions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clusterlm_jax.analysis.nulls import NULL_SCORES, draw
from clusterlm_jax.analysis.scores import score_all
from clusterlm_jax.records import subset

WITHIN_SCORES = tuple(f"within_input_{score}" for score in NULL_SCORES)


def groups(columns: Mapping[str, np.ndarray]) -> dict[int, tuple[np.ndarray, int]]:
    """For each input symbol of several tasks: which instances have it, bool [instance], and of how many tasks."""
    found = {}
    for symbol in np.unique(columns["input"]).tolist():
        here_N = columns["input"] == symbol
        tasks = len(np.unique(columns["task"][here_N]))
        if tasks > 1:
            found[symbol] = here_N, tasks
    return found


def within_input_scores(
    columns: Mapping[str, np.ndarray],
    clusters: Mapping[int, np.ndarray],
    nulls: Mapping[str, np.random.Generator],
    draws: int,
) -> dict[tuple[str, str], float]:
    """Scores by (label, score): how well clusters inside each input symbol match tasks; the mean over input symbols.

    Input symbols that only one task has are left out. If there are no others, the scores are nan.

    Args:
      columns: int columns `task`, `input` and what the nulls are drawn from (`distribution`), by name.
      clusters: of each of `groups`, the clusters of its instances, as many as it has tasks.
      nulls: null labels of the task, each with its generator.
      draws: number of draws of each null label in each input symbol; its score is their mean.
    """
    found: dict[str, list[list[float]]] = {label: [] for label in ("task", *nulls)}
    for symbol, (here_N, _) in groups(columns).items():
        group, clusters_N = subset(columns, here_N), clusters[symbol]
        found["task"].append(_scores(group["task"], clusters_N))
        for null, rng in nulls.items():
            found[null].append(np.mean([_scores(draw(null, group, rng), clusters_N) for _ in range(draws)], axis=0))
    return {
        (label, score): float(np.mean([row[place] for row in rows])) if rows else float("nan")
        for label, rows in found.items()
        for place, score in enumerate(WITHIN_SCORES)
    }


def _scores(task_N: np.ndarray, clusters_N: np.ndarray) -> list[float]:
    return list(score_all(task_N, clusters_N, NULL_SCORES).values())
