"""Nearest neighbours and their votes equal scikit-learn's; equally far ones go to the lowest index."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from clusterlm_jax.analysis.instruments.distances import BLOCK
from clusterlm_jax.analysis.instruments.neighbours import majority, majority_nearest, nearest, neighbour_scores

RANDOM = np.random.default_rng(3)


def test_equals_scikit_learn_without_ties() -> None:
    """Two blocks of queries. Breaks when the metric is not Euclidean or the order is not by distance."""
    query_QD, reference_ND = RANDOM.standard_normal((BLOCK + 9, 12)), RANDOM.standard_normal((120, 12))
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


@pytest.mark.parametrize("size", [1e-2, 1e3, 1e18, 1e25], ids="{:.0e}".format)
@pytest.mark.parametrize("references", [4, 300])
def test_rounding_of_the_product_decides_nothing(size: float, references: int) -> None:
    """Distances of 4e-4 of the states' own size, of which float32 keeps a digit or two, and equal ones among them.

    Squares of the largest overflow in float32. Breaks when the product of states chooses among near references.
    """
    rng = np.random.default_rng(references)
    centre_SD = np.float32(size * (1 + rng.standard_normal((3, 64))))
    states_MD = centre_SD[rng.integers(0, 3, references + 20)]
    states_MD += np.float32(1e-4 * size * rng.integers(-1, 2, (references + 20, 1)) * rng.standard_normal(64))
    query_QD, reference_ND = states_MD[:20], states_MD[20:]
    exact_QN = cdist(query_QD, reference_ND, "sqeuclidean")
    expected = np.argsort(exact_QN, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(nearest(query_QD, reference_ND, 10), expected)


@pytest.mark.parametrize(
    ("values", "smallest", "nearest_one"),
    [
        ([5, 7, 7], 7, 7),
        ([5, 7, 7, 5], 5, 5),
        ([7, 5, 5, 7], 5, 7),
        ([2, 1, 3], 1, 2),
        ([3, 8, 9, 9, 8], 8, 8),
        ([3, 9, 8, 8, 9], 8, 9),
        ([4], 4, 4),
    ],
)
def test_the_majority_and_who_wins_a_tie(values: list[int], smallest: int, nearest_one: int) -> None:
    values_QP = np.array([values, values])
    np.testing.assert_array_equal(majority(values_QP), [smallest] * 2)
    np.testing.assert_array_equal(majority_nearest(values_QP), [nearest_one] * 2)


@pytest.mark.parametrize("seed", range(8))
def test_accuracies_are_those_of_scikit_learns_classifier(seed: int) -> None:
    """Labels in no order and up to 25 of them, so that many votes are tied. Breaks when the nearest decides a tie."""
    rng = np.random.default_rng(seed)
    query_QD, reference_ND = rng.standard_normal((60, 5)), rng.standard_normal((150, 5))
    names, tied = rng.permutation(100)[: rng.integers(2, 26)], 0
    queries, references = (
        {name: rng.choice(names, len(points)) for name in ("task", "output")} for points in (query_QD, reference_ND)
    )
    index_QP = nearest(query_QD, reference_ND, 10)
    scores = neighbour_scores(index_QP, queries, references)
    for label, score in (("output", "knn_accuracy"), ("task", "knn_task_accuracy")):
        plain = KNeighborsClassifier(n_neighbors=10, weights="uniform", metric="minkowski", p=2)
        predicted_Q = plain.fit(reference_ND, references[label]).predict(query_QD)
        np.testing.assert_array_equal(majority(references[label][index_QP]), predicted_Q)
        assert scores[label, score] == (predicted_Q == queries[label]).mean()
        tied += (majority_nearest(references[label][index_QP]) != predicted_Q).sum()
    assert tied


def test_a_planted_arrangement_by_hand() -> None:
    """On a line; with 3 neighbours the queries at 0 and 10 see {0, 1, 2} and {10, 11, 12}.

    query 0 (task 0, output 5): tasks 0 0 1, outputs 6 5 6: share 2/3, task right, output wrong.
    query 10 (task 2, output 8): tasks 2 1 0 tie, so 0, or 2 as the nearest; share 1/3; outputs 8 8 5: right.
    """
    reference_ND = np.array([[0.0], [1], [2], [10], [11], [12.5]])
    reference = {"task": np.array([0, 0, 1, 2, 1, 0]), "output": np.array([6, 5, 6, 8, 8, 5])}
    queries = {"task": np.array([0, 2]), "output": np.array([5, 8])}
    assert neighbour_scores(nearest(np.array([[-0.1], [10.1]]), reference_ND, 3), queries, reference) == {
        ("task", "knn_percentage"): pytest.approx((2 / 3 + 1 / 3) / 2),
        ("output", "knn_accuracy"): 1 / 2,
        ("output", "knn_accuracy_nearest"): 1 / 2,
        ("task", "knn_task_accuracy"): 1 / 2,
        ("task", "knn_task_accuracy_nearest"): 1,
    }


def test_fewer_references_than_neighbours() -> None:
    columns = {"task": np.array([0, 1]), "output": np.array([2, 2])}
    point_ND = np.array([[0.0], [1.0]])
    assert neighbour_scores(nearest(point_ND, point_ND, 10), columns, columns)[("task", "knn_percentage")] == 1 / 2
