"""Nearest neighbours equal scikit-learn's if there are no ties; ties go to the lowest index."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from clusterlm_jax.analysis.instruments.neighbours import majority, nearest, neighbour_scores

RANDOM = np.random.default_rng(3)


def test_equals_scikit_learn_without_ties() -> None:
    """150 queries need several blocks. Breaks when the metric is not Euclidean or the order is not by distance."""
    query_QD, reference_ND = RANDOM.standard_normal((150, 12)), RANDOM.standard_normal((120, 12))
    expected = NearestNeighbors(n_neighbors=10, p=2).fit(reference_ND).kneighbors(query_QD, return_distance=False)
    np.testing.assert_array_equal(nearest(query_QD, reference_ND, 10), expected)


def test_ties_go_to_the_lowest_index() -> None:
    """25 distinct points in float32, as at layer 0. Breaks when distances are computed from norms and a product."""
    distinct_SD = (10 * RANDOM.standard_normal((25, 16))).astype(np.float32)
    query_QD, reference_ND = distinct_SD[RANDOM.integers(0, 25, 40)], distinct_SD[RANDOM.integers(0, 25, 100)]
    expected = [
        sorted(range(100), key=lambda n: (float(((query_D.astype(float) - reference_ND[n]) ** 2).sum()), n))[:10]
        for query_D in query_QD
    ]
    np.testing.assert_array_equal(nearest(query_QD, reference_ND, 10), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5, 7, 7], 7), ([5, 7, 7, 5], 5), ([7, 5, 5, 7], 7), ([1, 2, 3], 1), ([3, 8, 9, 9, 8], 8), ([4], 4)],
)
def test_the_majority_or_if_tied_the_nearest(values: list[int], expected: int) -> None:
    np.testing.assert_array_equal(majority(np.array([values, values])), [expected, expected])


def test_a_planted_arrangement_by_hand() -> None:
    """On a line; with 3 neighbours the queries at 0 and 10 see {0, 1, 2} and {10, 11, 12}.

    query 0 (task 0, output 5): tasks 0 0 1, outputs 6 5 6: share 2/3, task right, output wrong.
    query 10 (task 1, output 8): tasks 2 1 0 tie, so 2: wrong, share 1/3; outputs 8 8 5: right.
    """
    reference_ND = np.array([[0.0], [1], [2], [10], [11], [12.5]])
    reference = {"task": np.array([0, 0, 1, 2, 1, 0]), "output": np.array([6, 5, 6, 8, 8, 5])}
    queries = {"task": np.array([0, 1]), "output": np.array([5, 8])}
    assert neighbour_scores(nearest(np.array([[-0.1], [10.1]]), reference_ND, 3), queries, reference) == {
        ("task", "knn_percentage"): pytest.approx((2 / 3 + 1 / 3) / 2),
        ("output", "knn_accuracy"): 1 / 2,
        ("task", "knn_task_accuracy"): 1 / 2,
    }


def test_fewer_references_than_neighbours() -> None:
    columns = {"task": np.array([0, 1]), "output": np.array([2, 2])}
    point_ND = np.array([[0.0], [1.0]])
    assert neighbour_scores(nearest(point_ND, point_ND, 10), columns, columns)[("task", "knn_percentage")] == 1 / 2
