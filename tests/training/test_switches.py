"""Which centroids stand for source tasks, and what a switch is shown."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.heads import Centroids
from clusterlm_jax.records import Dataset
from clusterlm_jax.training.switches import _clusters, _examples, _means, _stack
from tests.data.test_alignment import SMALL_PAIRS


@pytest.fixture(scope="module")
def datasets() -> dict[int, Dataset]:
    return {seed: synthesise(SMALL_PAIRS, seed) for seed in (1, 2)}


def columns(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Tasks of the training instances, and whether they are source tasks."""
    training = dataset.splits["training"]
    return dataset.labels["task"][training], dataset.labels["target"][training] >= 0


def test_clusters_of_source_tasks_switch_on(datasets):
    """States that say the task: KMeans finds the tasks, and those of the sources switch on and no others."""
    for dataset in datasets.values():
        task_N, source_N = columns(dataset)
        state_ND = np.eye(SMALL_PAIRS.number_of_tasks, dtype=np.float32)[task_N]
        found = _clusters(dataset, state_ND, "task", 0, AnalysisSpec())
        assert found.on_K.sum() == SMALL_PAIRS.source_target_pairs
        np.testing.assert_array_equal(Centroids.decide(found, state_ND), source_N)
        nothing = _clusters(dataset, np.ones_like(state_ND), "task", 0, AnalysisSpec())  # one cluster of everything
        assert not nothing.on_K.any()


def test_there_are_as_many_clusters_as_pairs_of_labels(datasets, rng):
    dataset = datasets[1]
    task_N, _ = columns(dataset)
    pairs = {
        (int(dataset.labels["distribution"][n]), int(dataset.labels["mapping"][n])) for n in dataset.splits["training"]
    }
    state_ND = rng.normal(size=(len(task_N), 4)).astype(np.float32)
    assert len(_clusters(dataset, state_ND, "distribution_mapping", 0, AnalysisSpec()).on_K) == len(pairs)


def test_examples_are_the_states_of_their_instances(datasets):
    """Of two seeds, filled up to the larger; a state of another instance, or of another seed, would differ."""
    training_ZLND = []
    for dataset in datasets.values():
        instance_N = dataset.splits["training"].astype(np.float32)
        training_ZLND.append(np.stack([instance_N, -instance_N])[:, :, None])  # [layer, instance, width 1]
    examples = _examples(datasets, training_ZLND, most=2)
    for seed, dataset in enumerate(datasets.values()):
        there_N = examples.rank_ZN[seed] < 2
        instance_N = examples.state_ZLND[seed, 0, there_N, 0].astype(int)
        np.testing.assert_array_equal(examples.state_ZLND[seed, 1, there_N, 0], -instance_N)
        np.testing.assert_array_equal(examples.task_ZN[seed, there_N], dataset.labels["task"][instance_N])
        np.testing.assert_array_equal(examples.source_ZN[seed, there_N], dataset.labels["target"][instance_N] >= 0)
        assert not examples.source_ZN[seed, ~there_N].any()


def test_the_nearest_mean_is_a_task_s(datasets, rng):
    task_N, source_N = columns(datasets[1])
    state_ND = rng.normal(size=(len(task_N), 3)).astype(np.float32)
    found = _means(state_ND, task_N, source_N)
    for place, task in enumerate(np.unique(task_N)):
        np.testing.assert_allclose(found.centroid_KD[place], state_ND[task_N == task].mean(axis=0), rtol=1e-5)
        assert found.on_K[place] == source_N[task_N == task].all()
    together = _stack([found, Centroids(found.centroid_KD[:2], found.on_K[:2])])
    second = Centroids(together.centroid_KD[1], together.on_K[1])
    expected = Centroids.decide(Centroids(found.centroid_KD[:2], found.on_K[:2]), state_ND)
    np.testing.assert_array_equal(Centroids.decide(second, state_ND), expected)
