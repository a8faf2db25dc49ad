"""Silhouette and NC1 equal their definitions, and distinguish the levels of constructed states."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from clusterlm_jax.analysis.instruments.geometry import distances, nc1, silhouette
from clusterlm_jax.analysis.nulls import draw
from tests.analysis.instruments.constructed import (
    DISTRIBUTION_ONLY,
    INPUT_COARSE,
    TASK_COARSE,
    columns_of,
    near_zero,
    permuted,
    states_of,
)

COLUMNS = columns_of(3)


def silhouettes(hidden_ND: np.ndarray) -> dict[str, float]:
    distance_NN = distances(hidden_ND)
    return {label: silhouette(distance_NN, column) for label, column in COLUMNS.items()}


def silhouette_by_hand(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """Rousseeuw's s(i), instance by instance; 0 for an instance alone in its group."""
    values = []
    for index, (own_D, label) in enumerate(zip(hidden_ND, label_N, strict=True)):
        distance_N = np.linalg.norm(hidden_ND - own_D, axis=1)
        fellows = (label_N == label) & (np.arange(len(label_N)) != index)
        if not fellows.any():
            values.append(0)
            continue
        within = distance_N[fellows].mean()
        next_one = min(distance_N[label_N == other].mean() for other in set(label_N.tolist()) - {label})
        values.append((next_one - within) / max(next_one, within))
    return float(np.mean(values))


def nc1_by_hand(hidden_ND: np.ndarray, label_N: np.ndarray) -> float:
    """From both covariance matrices, with equal weight for every group."""
    groups = [hidden_ND[label_N == group].astype(float) for group in np.unique(label_N)]
    mean_GD = np.array([group_MD.mean(axis=0) for group_MD in groups])
    within_DD = np.mean([np.cov(group_MD.T, bias=True) for group_MD in groups], axis=0)
    between_DD = np.cov(mean_GD.T, bias=True)
    return float(np.trace(within_DD @ np.linalg.pinv(between_DD, rcond=1e-12)) / len(groups))


@pytest.mark.parametrize("groups", [2, 7, 40])
def test_the_silhouette_equals_its_definition(groups: int, rng: np.random.Generator) -> None:
    """For groups of unequal size, some of one instance. Breaks when distances are squared or rounded."""
    label_N = np.minimum(rng.integers(0, groups, 60), rng.integers(0, groups, 60))
    hidden_ND = (rng.standard_normal((60, 9)) + 0.3 * label_N[:, None]).astype(np.float32)
    found = silhouette(distances(hidden_ND), label_N)
    assert found == pytest.approx(silhouette_by_hand(hidden_ND.astype(float), label_N), abs=1e-9)
    assert found == pytest.approx(silhouette_score(hidden_ND.astype(float), label_N), abs=1e-6)


def test_distances_are_exactly_zero_between_equal_states() -> None:
    """Breaks when they are computed from norms and a product, which leaves rounding errors between equal states."""
    hidden_ND = np.full((3, 64), 1e3 / 3, np.float32)
    hidden_ND[2] += 1
    np.testing.assert_array_equal(distances(hidden_ND) == 0, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(("groups", "width"), [(2, 5), (4, 12), (12, 4), (6, 6)])
def test_nc1_equals_its_definition(groups: int, width: int, rng: np.random.Generator) -> None:
    """Fewer groups than dimensions, where S_B has no inverse, and more. Groups of unequal size have equal weight."""
    label_N = 3 * np.concatenate([np.arange(groups), rng.integers(0, groups, 50) // 2])
    hidden_ND = 5 + rng.standard_normal((3 * groups, width))[label_N] + rng.standard_normal((len(label_N), width))
    assert nc1(hidden_ND, label_N) == pytest.approx(nc1_by_hand(hidden_ND, label_N))


def test_nc1_of_two_groups_on_a_line() -> None:
    """Means at -3 and 3 give S_B = 9, instances 1 from their mean give S_W = 1. NC1 is 1/9, divided by two groups."""
    hidden_ND = np.array([[-4.0], [-2], [-4], [-2], [2], [4]])
    assert nc1(hidden_ND, np.array([0, 0, 0, 0, 1, 1])) == pytest.approx(1 / 18)
    sideways_ND = np.hstack([hidden_ND, [[5], [-5], [5], [-5], [0], [0]]])  # moves no group mean
    assert nc1(sideways_ND, np.array([0, 0, 0, 0, 1, 1])) == pytest.approx(1 / 18)


def test_nc1_does_not_depend_on_axes_scale_or_origin(rng: np.random.Generator) -> None:
    hidden_ND, label_N = states_of(COLUMNS, 0, noise=1, task=1), COLUMNS["task"]
    rotation_DD = np.linalg.qr(rng.standard_normal((32, 32)))[0]
    expected = nc1(hidden_ND, label_N)
    assert nc1(100 * hidden_ND @ rotation_DD + 7, label_N) == pytest.approx(expected)
    assert nc1(hidden_ND.astype(np.float32), label_N) == pytest.approx(expected, rel=1e-4)


def test_nc1_falls_to_zero_as_groups_collapse() -> None:
    values = [nc1(states_of(COLUMNS, 0, noise=noise, task=1), COLUMNS["task"]) for noise in (1, 0.1, 0.01, 0)]
    assert values == sorted(values, reverse=True)
    assert values[1] / values[2] == pytest.approx(100, rel=0.05)  # of squares
    assert values[-1] == pytest.approx(0, abs=1e-24)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 1 / 3])
def test_equal_states_have_neither_groups_nor_distances(value: float) -> None:
    hidden_ND, label_N = np.full((61, 8), value, np.float32), np.arange(61) % 4
    assert silhouette(distances(hidden_ND), label_N) == 0
    assert np.isnan(nc1(hidden_ND, label_N))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_group_means_give_nan(dtype: type, rng: np.random.Generator) -> None:
    """Every task has the same five states, as tasks with the same inputs have at layer 0.

    Breaks when rounding errors of the means, which depend on the order of instances, count as distances: NC1 is then
    1e26.
    """
    hidden_ND = (100 + rng.standard_normal((5, 8))).astype(dtype)[np.tile(np.arange(5), 14)]
    label_N = np.repeat([0, 0, 1, 1, 1, 1, 2], 10)
    for _ in range(5):
        order_N = rng.permutation(70)
        assert np.isnan(nc1(hidden_ND[order_N], label_N[order_N]))
    apart_ND = hidden_ND + 1e-3 * label_N[:, None]  # a distance that is small but not rounding
    assert nc1(apart_ND, label_N) == pytest.approx(nc1_by_hand(apart_ND, label_N), rel=0.01)


def test_labels_without_groups_give_nan(rng: np.random.Generator) -> None:
    hidden_ND = rng.standard_normal((20, 4))
    assert np.isnan(nc1(hidden_ND, np.zeros(20, int)))
    assert np.isnan(silhouette(distances(hidden_ND), np.zeros(20, int)))
    assert np.isnan(silhouette(distances(hidden_ND), np.arange(20)))
    assert nc1(hidden_ND, np.arange(20)) == 0  # groups of one instance are collapsed


def test_the_order_of_instances_does_not_matter(rng: np.random.Generator) -> None:
    hidden_ND = states_of(COLUMNS, 0, noise=1, task=1, input=1)
    columns, permuted_ND = permuted(COLUMNS, hidden_ND, rng)
    for label in COLUMNS:
        assert nc1(permuted_ND, columns[label]) == pytest.approx(nc1(hidden_ND, COLUMNS[label]))
        expected = silhouette(distances(hidden_ND), COLUMNS[label])
        assert silhouette(distances(permuted_ND), columns[label]) == pytest.approx(expected)


def test_tasks_above_their_distributions_are_far_apart() -> None:
    hidden_ND = states_of(COLUMNS, 1, **TASK_COARSE)
    found = silhouettes(hidden_ND)
    assert found["task"] > 0.8
    assert 0.3 < found["distribution"] < found["task"]
    assert found["input"] < 0
    assert nc1(hidden_ND, COLUMNS["task"]) < 0.05 < 1 < nc1(hidden_ND, COLUMNS["input"])


def test_inputs_above_their_tasks_are_far_apart() -> None:
    """Instances of a task are in three inputs, as far from each other as from other tasks: a silhouette near 0."""
    hidden_ND = states_of(COLUMNS, 1, **INPUT_COARSE)
    found = silhouettes(hidden_ND)
    assert found["input"] > 0.7
    assert abs(found["task"]) < 0.1
    assert nc1(hidden_ND, COLUMNS["input"]) < 0.05 < nc1(hidden_ND, COLUMNS["task"])


@pytest.mark.parametrize(
    ("weights", "null"), [({}, "shuffled_task"), ({}, "regrouped_task"), (DISTRIBUTION_ONLY, "regrouped_task")]
)
def test_states_without_the_task_have_the_silhouette_of_the_null(weights: dict[str, float], null: str) -> None:
    """On average over 30 arrangements. For well clustered distributions, the null that keeps them whole counts."""
    rng, excess, of_distribution = np.random.default_rng(0), [], []
    for seed in range(30):
        distance_NN = distances(states_of(COLUMNS, seed, noise=0.5, **weights))
        nulls = [silhouette(distance_NN, draw(null, COLUMNS, rng)) for _ in range(5)]
        excess.append(silhouette(distance_NN, COLUMNS["task"]) - np.mean(nulls))
        of_distribution.append(silhouette(distance_NN, COLUMNS["distribution"]))
    assert near_zero(excess)
    assert min(of_distribution) > 0.9 if weights else max(of_distribution) < 0.01
