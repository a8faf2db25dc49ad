"""Ward's tree and its best cut, compared with all cuts of scipy and with states of known levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, fcluster

from clusterlm_jax.analysis.instruments.tree import best_cut, ward
from clusterlm_jax.analysis.nulls import draw
from clusterlm_jax.analysis.scores import score_all
from tests.analysis.instruments.constructed import (
    DISTRIBUTION_ONLY,
    DISTRIBUTIONS,
    INPUT_COARSE,
    TASK_COARSE,
    TASKS,
    columns_of,
    near_zero,
    permuted,
    states_of,
)

COLUMNS = columns_of(3)


def f1_of_every_cut(tree: np.ndarray, label_N: np.ndarray) -> dict[int, float]:
    """scipy's cuts at every height, also below the first merge, by number of clusters."""
    cuts = [fcluster(tree, height, "distance") for height in (0, *np.unique(tree[:, 2]))]
    return {len(np.unique(clusters_N)): score_all(label_N, clusters_N, ("f1",))["f1"] for clusters_N in cuts}


def best_of_every_cut(tree: np.ndarray, label_N: np.ndarray) -> tuple[float, int]:
    """The best cut; if tied, the one with the fewest clusters."""
    f1 = f1_of_every_cut(tree, label_N)
    best = max(f1.values())
    return best, min(clusters for clusters, value in f1.items() if value > best - 1e-12)


def test_ward_merges_the_pair_that_adds_least_to_the_variance_within(rng: np.random.Generator) -> None:
    """Every pair of clusters is tried at every step. The height is the root of twice the sum of squares it adds."""
    hidden_ND = rng.standard_normal((14, 3)).astype(np.float32)

    def squares(members: tuple[int, ...]) -> float:
        points_MD = hidden_ND[list(members)].astype(float)
        return float(((points_MD - points_MD.mean(axis=0)) ** 2).sum())

    clusters, heights, merged = [(n,) for n in range(14)], [], []
    while len(clusters) > 1:
        added, one, other = min(
            (squares(one + other) - squares(one) - squares(other), one, other)
            for one, other in itertools.combinations(clusters, 2)
        )
        clusters = [cluster for cluster in clusters if cluster not in (one, other)] + [one + other]
        heights.append((2 * added) ** 0.5)
        merged.append(frozenset(one + other))
    tree = ward(hidden_ND)
    np.testing.assert_allclose(tree[:, 2], heights, rtol=1e-6)
    of_node = {n: frozenset([n]) for n in range(14)}
    for merge, (one, other) in enumerate(tree[:, :2].astype(int)):
        of_node[14 + merge] = of_node[one] | of_node[other]
    assert [of_node[14 + merge] for merge in range(13)] == merged


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_best_of_all_cuts(seed: int) -> None:
    """For noise, for states that tie as at layer 0, and for clear groups.

    Breaks when the search ends before the best cut, or when equal states are separated.
    """
    rng = np.random.default_rng(seed)
    instances, classes = int(rng.integers(4, 60)), int(rng.integers(1, 9))
    label_N = 3 * rng.integers(0, classes, instances)
    noise_ND = rng.standard_normal((instances, 3))
    for hidden_ND in (
        noise_ND,
        rng.standard_normal((5, 3))[rng.integers(0, 5, instances)],
        rng.standard_normal((25, 3))[label_N] + 0.4 * noise_ND,
    ):
        tree = ward(hidden_ND.astype(np.float32))
        found = best_cut(tree, label_N)
        expected = best_of_every_cut(tree, label_N)
        assert found == (pytest.approx(expected[0]), expected[1])


def test_single_instances_to_all_in_one_are_cuts(rng: np.random.Generator) -> None:
    """Without ties there is a cut with each number of clusters, as in scipy's `cut_tree`."""
    hidden_ND = rng.standard_normal((30, 4))
    tree = ward(hidden_ND)
    assert best_cut(tree, np.arange(30)) == (1, 30)
    assert best_cut(tree, np.full(30, 7)) == (1, 1)
    for clusters in (2, 11, 29):
        label_N = cut_tree(tree, clusters)[:, 0]
        assert best_cut(tree, label_N) == (1, clusters)


def test_of_equal_cuts_the_one_with_fewest_clusters_counts() -> None:
    """Class 0 is {0, .1, .2} and {50, 52}. The cluster {50, 52} is matched to no class, whole or in halves, so cuts
    with 3 and 4 clusters both score 3/4 for class 0 and 1 for class 1.
    """
    tree = ward(np.array([[0.0], [0.1], [0.2], [10], [10.1], [50], [52]]))
    label_N = np.array([0, 0, 0, 1, 1, 0, 0])
    assert [f1_of_every_cut(tree, label_N)[clusters] for clusters in (3, 4)] == pytest.approx([7 / 8, 7 / 8])
    assert best_cut(tree, label_N) == (pytest.approx(7 / 8), 3)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_states_are_one_cluster(value: float) -> None:
    """The last instance is alone in its class and merged last. Breaks when its place makes it a cluster."""
    tree = ward(np.full((20, 8), value, np.float32))
    f1 = (2 * 19 / (20 + 19)) / 2
    for place in (0, 7, 19):
        assert best_cut(tree, np.arange(20) == place) == (pytest.approx(f1), 1)


@pytest.mark.parametrize("label", ["task", "distribution", "input"])
def test_the_order_of_instances_does_not_matter(label: str, rng: np.random.Generator) -> None:
    """With ties (states of the input only) and without."""
    for weights in ({"noise": 0.0, "input": 1.0}, {"noise": 1.0, "task": 1.0}):
        hidden_ND = states_of(COLUMNS, 0, **weights)
        expected = best_cut(ward(hidden_ND), COLUMNS[label])
        for _ in range(3):
            columns, permuted_ND = permuted(COLUMNS, hidden_ND, rng)
            found = best_cut(ward(permuted_ND), columns[label])
            assert found == (pytest.approx(expected[0]), expected[1])


def test_tasks_above_distributions_above_mappings() -> None:
    """One tree has all levels, each at its own number of clusters."""
    tree = ward(states_of(COLUMNS, 1, **TASK_COARSE))
    pair_N = 1000 * COLUMNS["distribution"] + COLUMNS["mapping"]
    assert best_cut(tree, COLUMNS["task"]) == (1, TASKS)
    assert best_cut(tree, COLUMNS["distribution"]) == (1, TASKS * DISTRIBUTIONS)
    assert best_cut(tree, pair_N) == (1, 3 * TASKS * DISTRIBUTIONS)
    assert best_cut(tree, COLUMNS["input"])[0] < 0.6


def test_inputs_above_tasks() -> None:
    """18 clusters are pairs of input and task. No cut has the tasks as clusters."""
    tree = ward(states_of(COLUMNS, 1, **INPUT_COARSE))
    assert best_cut(tree, COLUMNS["input"]) == (1, 6)
    assert best_cut(tree, 100 * COLUMNS["input"] + COLUMNS["task"]) == (1, 18)
    assert best_cut(tree, COLUMNS["task"])[0] < 0.6


@pytest.mark.parametrize(
    ("weights", "null"), [({}, "shuffled_task"), ({}, "regrouped_task"), (DISTRIBUTION_ONLY, "regrouped_task")]
)
def test_states_without_the_task_have_the_f1_of_the_null(weights: dict[str, float], null: str) -> None:
    """On average over 30 arrangements. For well clustered distributions, the null that keeps them whole counts."""
    rng, excess = np.random.default_rng(0), []
    for seed in range(30):
        tree = ward(states_of(COLUMNS, seed, noise=0.5, **weights))
        nulls = [best_cut(tree, draw(null, COLUMNS, rng))[0] for _ in range(4)]
        excess.append(best_cut(tree, COLUMNS["task"])[0] - np.mean(nulls))
        assert not weights or best_cut(tree, COLUMNS["distribution"]) == (1, TASKS * DISTRIBUTIONS)
    assert near_zero(excess)
