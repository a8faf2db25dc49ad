"""Directions between tasks and the spaces they span: what was put into the states is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.analysis.clustering import centroids
from clusterlm_jax.analysis.instruments import directions as along
from clusterlm_jax.analysis.spec import AnalysisSpec

WIDTH, TASKS = 12, 4


@pytest.fixture
def planted(rng):
    """Tasks far apart along known vectors, with little noise: (states, task of each, vectors)."""
    vector_CD = 3 * np.eye(WIDTH)[:TASKS]
    task_N = rng.permutation(np.repeat(np.arange(TASKS) + 7, 30))
    noise_ND = 0.1 * rng.normal(size=(len(task_N), WIDTH))
    return (vector_CD[task_N - 7] + noise_ND).astype(np.float32), task_N, vector_CD


def cluster(points_ND, clusters):
    return centroids(points_ND, clusters, seed=0, spec=AnalysisSpec(kmeans_restarts=3))


@pytest.mark.parametrize("kind", along.KINDS)
def test_the_planted_direction_is_found(planted, kind):
    state_ND, task_N, vector_CD = planted
    from_M, to_M = np.array([7, 9, 10]), np.array([8, 7, 9])
    found_MD = along.directions(kind, state_ND, task_N, from_M, to_M, cluster)
    wanted_MD = vector_CD[to_M - 7] - vector_CD[from_M - 7]
    cosine_M = (found_MD * wanted_MD).sum(axis=1) / np.linalg.norm(found_MD, axis=1) / np.linalg.norm(wanted_MD, axis=1)
    assert cosine_M.min() > 0.99
    if kind != along.PROBE:
        np.testing.assert_allclose(found_MD, wanted_MD, atol=0.15)
    lengths = np.linalg.norm(along.rescaled(found_MD, wanted_MD), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(wanted_MD, axis=1), rtol=1e-5)


def test_two_tasks_have_opposite_directions(planted):
    state_ND, task_N, _ = planted
    there = task_N < 9
    forth, back = along.directions(
        along.PROBE, state_ND[there], task_N[there], np.array([7, 8]), np.array([8, 7]), cluster
    )
    np.testing.assert_allclose(forth, -back)
    assert np.linalg.norm(forth) > 0


def test_equal_states_and_a_single_task_have_no_direction():
    """As at layer 0 within an input symbol: nothing to move along, nothing to remove."""
    state_ND, task_N = np.ones((20, WIDTH), np.float32), np.repeat([1, 2], 10)
    for kind in along.KINDS:
        pair = np.array([1]), np.array([2])
        assert not along.directions(kind, state_ND, task_N, *pair, cluster).any()
        assert not along.directions(kind, state_ND, np.ones(20, int), *(np.array([1]),) * 2, cluster).any()
    assert along.between(along.means(state_ND, task_N)).shape == (WIDTH, 0)
    assert not along.rescaled(np.zeros((1, WIDTH)), np.ones((1, WIDTH))).any()


def test_a_task_without_states_has_no_direction(planted):
    state_ND, task_N, _ = planted
    from_M, to_M = np.array([3, 7, 7]), np.array([8, 8, 99])
    found_MD = along.directions(along.MEANS, state_ND, task_N, from_M, to_M, cluster)
    np.testing.assert_array_equal(found_MD.any(axis=1), [False, True, False])


def test_a_removed_space_is_gone_and_the_rest_stays(planted):
    state_ND, task_N, _ = planted
    mean_CD = along.means(state_ND, task_N)
    basis_DR = along.between(mean_CD)
    assert basis_DR.shape == (WIDTH, TASKS - 1)
    np.testing.assert_allclose(basis_DR.T @ basis_DR, np.eye(TASKS - 1), atol=1e-5)
    left_ND = along.without(state_ND, mean_CD.mean(axis=0), basis_DR)
    np.testing.assert_allclose((left_ND - mean_CD.mean(axis=0)) @ basis_DR, 0, atol=1e-5)
    removed = np.linalg.svd(state_ND - left_ND - (state_ND - left_ND).mean(axis=0), compute_uv=False)
    assert (removed > 1e-3).sum() == TASKS - 1  # the rank of what was taken away
    assert along.between(along.means(left_ND, task_N)).shape[1] == 0
    np.testing.assert_allclose(along.without(left_ND, mean_CD.mean(axis=0), basis_DR), left_ND, atol=1e-5)


def test_the_widest_direction_comes_first(rng):
    mean_CD = np.zeros((3, WIDTH))
    mean_CD[0, 4], mean_CD[1, 2] = 9, 1
    basis_DR = along.between(mean_CD)
    assert np.abs(basis_DR[:, 0]).argmax() == 4
    random_DR = along.random_basis(WIDTH, 5, rng)
    np.testing.assert_allclose(random_DR.T @ random_DR, np.eye(5), atol=1e-5)


def test_residuals_have_no_mean_of_their_input(planted, rng):
    state_ND, _, _ = planted
    input_N = rng.choice([3, 5, 8], len(state_ND))
    left_ND = along.residuals(state_ND, input_N)
    np.testing.assert_allclose(along.means(left_ND, input_N), 0, atol=1e-5)
