"""Answers counted by task, on three tasks whose counts can be read off."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.analysis.answers import count_by_task, share

# Task 0 is a source, task 2 its target.
LABELS = {
    "task": np.array([0, 0, 1, 1, 1, 2]),
    "target": np.array([2, 2, -1, -1, -1, -1]),
    "input": np.array([7, 8, 7, 9, 9, 7]),
    "output": np.array([3, 4, 5, 5, 6, 3]),
}
TOKENS = np.array([3, 0, 5, 5, 5, 3])
ON = np.array([True, True, True, True, False, False])


@pytest.fixture
def rows() -> list[dict]:
    return list(count_by_task(LABELS, [2, 2, -1, -1, -1, -1], TOKENS, ON))


def test_each_task_has_its_role_and_its_counts(rows):
    assert [row["task"] for row in rows] == [0, 1, 2]
    assert [row["role"] for row in rows] == ["source", "other", "target"]
    assert [row["instances"] for row in rows] == [2, 3, 1]
    assert [row["correct"] for row in rows] == [1, 2, 1]
    assert [row["switched_on"] for row in rows] == [2, 2, 0]
    assert [row["with_source_input"] for row in rows] == [2, 1, 1]
    assert [row["of_these_on"] for row in rows] == [2, 1, 0]


def test_a_share_is_over_instances_not_over_tasks(rows):
    assert share(rows, "correct", of_source=True) == 1 / 2
    assert share(rows, "correct", of_source=False) == 3 / 4
    assert share(rows, "switched_on", of_source=False) == 2 / 4


def test_counts_can_be_written_as_json(rows):
    assert all(type(value) in (int, str) for row in rows for value in row.values())
