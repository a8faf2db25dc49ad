"""Null labels: what a clustering scores if it holds no information about the task. Not in the paper.

A `shuffled` label is the label shuffled among the instances. It scores as much as chance gives. `regrouped_task`
shuffles whole distributions among the tasks, so that instructions from one expression stay together. It scores as much
as clusters of similar-looking instructions give. A null label has as many values as the label it imitates, so both are
scored on the same clustering.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clusterlm_jax.analysis.instruments.neighbours import task_share
from clusterlm_jax.analysis.scores import score_all
from clusterlm_jax.analysis.spec import AnalysisSpec

NULL_SCORES = ("f1", "ari", "ami")


def nulls_of(spec: AnalysisSpec) -> dict[str, str]:
    """The null labels to score, each with the label that it imitates."""
    if not spec.null_draws:
        return {}
    nulls = {f"shuffled_{label}": label for label in spec.shuffled}
    regroups = "task" in spec.labels and "distribution" in spec.columns
    return nulls | ({"regrouped_task": "task"} if regroups else {})


def task_nulls_of(spec: AnalysisSpec) -> list[str]:
    """The null labels of the task to score."""
    return [null for null, label in nulls_of(spec).items() if label == "task"]


def regrouped(task_N: np.ndarray, distribution_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tasks [instance], shuffled among the distributions. Every task keeps its number of distributions."""
    _, first_G, group_N = np.unique(distribution_N, return_index=True, return_inverse=True)
    return rng.permutation(task_N[first_G])[group_N]


def draw(null: str, columns: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """One draw of a null label, int32 [instance]. The columns are int32 [instance] by name."""
    kind, _, label = null.partition("_")
    if kind == "regrouped":
        return regrouped(columns[label], columns["distribution"], rng)
    return rng.permutation(columns[label])


def null_scores(
    null: str, columns: Mapping[str, np.ndarray], clusters_N: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Scores of a clustering by a null label: the mean over `draws` draws."""
    scores = [score_all(draw(null, columns, rng), clusters_N, NULL_SCORES) for _ in range(draws)]
    return {name: float(np.mean([by_name[name] for by_name in scores])) for name in NULL_SCORES}


def draw_neighbours(
    null: str, queries: Mapping[str, np.ndarray], references: Mapping[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One draw of the tasks of queries and references. A regrouped distribution gets the same task in both."""
    if null == "regrouped_task":
        task, distribution = (np.concatenate([queries[name], references[name]]) for name in ("task", "distribution"))
        task_Q, task_N = np.split(regrouped(task, distribution, rng), [len(queries["task"])])
        return task_Q, task_N
    return queries["task"], draw(null, references, rng)


def null_task_share(
    null: str,
    index_QP: np.ndarray,
    queries: Mapping[str, np.ndarray],
    references: Mapping[str, np.ndarray],
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Mean share of neighbours with the query's task if tasks are drawn by a null label: the mean over `draws` draws.

    Args:
      index_QP: the neighbours of each query, as indices of the references.
    """
    tasks = [draw_neighbours(null, queries, references, rng) for _ in range(draws)]
    return float(np.mean([task_share(index_QP, task_Q, task_N) for task_Q, task_N in tasks]))
