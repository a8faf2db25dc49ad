"""Hard examples, counted one by one and in simple cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlm_jax.analysis.instruments.hard import hard_scores

# Instances of tasks 0, 1 (regular) and 7 (hard, made from 1); -1 marks regular instances.
TASK = [0, 0, 1, 1, 1, 1, 7, 7, 7, 7]
ORIGINALS = "hard_with_original"
ORIGINAL = [-1, -1, -1, -1, -1, -1, 1, 1, 1, 1]


def scores(clusters: Sequence[int], task: Sequence[int] = TASK, original: Sequence[int] = ORIGINAL) -> list[float]:
    values = hard_scores(np.array(task), np.array(original), np.full(len(task), -1), np.array(clusters))
    assert all(math.isnan(value) for name, value in values.items() if name not in ("hard_with_own", ORIGINALS))
    return [values["hard_with_own"], values[ORIGINALS]]


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ([0, 0, 1, 1, 1, 1, 2, 2, 2, 2], [1, 0]),  # a cluster of its own
        ([0, 0, 1, 1, 1, 1, 0, 0, 0, 0], [1, 0]),  # with a task that is not its original
        ([0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0]),  # one cluster has all instances of both: with neither
        ([0, 0, 1, 1, 1, 1, 2, 3, 4, 5], [0, 0]),  # each alone in its cluster: with neither
        # Two are apart, with 1/3 of the others and none of the original's; two are with the original's, 1/3 and 1.
        ([0, 0, 1, 1, 1, 1, 2, 2, 1, 1], [1 / 2, 1 / 2]),
        # Three are with half of the original's and 2/3 of the others; one is with the other half and no other.
        ([0, 0, 1, 1, 2, 2, 1, 1, 1, 2], [3 / 4, 1 / 4]),
    ],
)
def test_by_hand(clusters: list[int], expected: list[float]) -> None:
    assert scores(clusters) == expected


def test_a_hard_example_does_not_count_itself() -> None:
    """The only instance of task 7 is with one of the three of task 1. Breaks when it counts itself."""
    assert scores([0, 1, 2, 0], [1, 1, 1, 7], [-1, -1, -1, 1]) == [0, 1]
    assert scores([0, 1, 2, 3], [1, 1, 1, 7], [-1, -1, -1, 1]) == [0, 0]


def test_shares_are_compared_not_numbers() -> None:
    """Each hard example is with 1 of 1 others and with 2 of 4 of its original's. Breaks when numbers are compared."""
    assert scores([0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 7, 7], [-1] * 4 + [1] * 2) == [1, 0]


def test_equal_shares_of_different_sizes_are_equal() -> None:
    """1 of 3 others and 2 of 6. Breaks when rounding decides."""
    task, original = [1] * 6 + [7] * 4, [-1] * 6 + [1] * 4
    assert scores([0, 0, 1, 1, 2, 2, 0, 0, 2, 2], task, original) == [0, 0]


def test_without_hard_examples_there_is_no_share() -> None:
    assert all(math.isnan(value) for value in scores([0, 1, 0], [0, 1, 1], [-1, -1, -1]))


def test_those_that_still_match_are_counted_apart() -> None:
    """Two of four hard examples still match. They sit with their original; the others are alone together."""
    matching = [0] * 6 + [1, 1, 0, 0]  # of regular instances it says nothing
    values = hard_scores(*map(np.array, (TASK, ORIGINAL, matching, [0, 0, 1, 1, 1, 1, 1, 1, 2, 2])))
    assert values == {
        "hard_with_own": 1 / 2,
        "hard_with_original": 1 / 2,
        "hard_leaving_with_own": 1,
        "hard_leaving_with_original": 0,
        "hard_matching_with_own": 0,
        "hard_matching_with_original": 1,
    }


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_equals_counting_one_by_one(instances: list[tuple[int, int, int]]) -> None:
    """With exact fractions, instance by instance. Originals are arbitrary here and may have no instances."""
    own = original = hard = 0
    for i, (task, source, cluster) in enumerate(instances):
        if source < 0:
            continue
        hard += 1
        others = [c for j, (t, _, c) in enumerate(instances) if t == task and j != i]
        sources = [c for t, _, c in instances if t == source]
        share_own, share_original = (
            Fraction(group.count(cluster), len(group)) if group else Fraction(0) for group in (others, sources)
        )
        own += share_own > share_original
        original += share_original > share_own
    result = scores([c for _, _, c in instances], [t for t, _, _ in instances], [s for _, s, _ in instances])
    if hard:
        assert result == [own / hard, original / hard]
    else:
        assert all(math.isnan(value) for value in result)
