"""Answers of a model with a switch, counted task by task (paper F.1). The letter of a shape is N, instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

SOURCE, TARGET, OTHER = ROLES = ("source", "target", "other")


def count_by_task(
    labels: Mapping[str, np.ndarray], targets: Iterable[int], token_N: np.ndarray, on_N: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Of each task its role, its instances, and how many were answered right and switched on.

    `with_source_input` counts the instances whose input symbol a source task has too, and `of_these_on` those of them
    that were switched on.

    Args:
      labels: `task`, `input`, `output` and `target` of N instances; a target of -1 says that the task is no source.
      targets: the tasks that are the target of another.
      token_N: the answers.
      on_N: whether the switch took the instance for a source task's.
    """
    targets = set(targets)
    alike_N = np.isin(labels["input"], labels["input"][labels["target"] >= 0])
    for task in np.unique(labels["task"]).tolist():
        of_task_N = labels["task"] == task
        is_source = labels["target"][of_task_N][0] >= 0
        yield {
            "task": task,
            "role": SOURCE if is_source else TARGET if task in targets else OTHER,
            "instances": int(of_task_N.sum()),
            "correct": int((token_N == labels["output"])[of_task_N].sum()),
            "switched_on": int(on_N[of_task_N].sum()),
            "with_source_input": int(alike_N[of_task_N].sum()),
            "of_these_on": int((on_N & alike_N)[of_task_N].sum()),
        }


def share(rows: Iterable[Mapping[str, Any]], what: str, of_source: bool) -> float:
    """A count over all instances of source tasks, or of the others, as a share of them."""
    chosen = [row for row in rows if (row["role"] == SOURCE) == of_source]
    return sum(row[what] for row in chosen) / sum(row["instances"] for row in chosen)
