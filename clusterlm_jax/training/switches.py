"""The switches of the alignment experiment: learnt ones, and cheap baselines that nobody trains (paper F.1).

All read states of the base model, dropout-free, at input tokens of training instances. A learnt switch, and that of the
nearest mean, sees all instances of the source tasks and a few of each other task. The KMeans baselines cluster *every*
training instance; a cluster whose instances are mostly of source tasks switches on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clusterlm_jax.analysis.clustering import centroids, seed_of
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.alignment import switch_examples
from clusterlm_jax.data.batching import stack_padded
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.heads import Centroids, Decide, Switch
from clusterlm_jax.records import Dataset, layer_names
from clusterlm_jax.training.reading import Reader
from clusterlm_jax.training.spec import KMEANS_RUNS, LINEAR, MEAN, MLP, SwitchSpec, variant
from clusterlm_jax.training.steps import over_seeds
from clusterlm_jax.training.switch import train_switch

TRAINED = {LINEAR: Switch(hidden_layers=0), MLP: Switch(hidden_layers=2)}


@dataclasses.dataclass(frozen=True)
class TrainedSwitch:
    """A switch of every seed.

    Attributes:
      run: its name in the rows.
      decide: what it computes.
      params: stacked over the seeds, for `decide`.
      layer: whose states it reads.
    """

    run: str
    decide: Decide
    params: Any
    layer: str


@dataclasses.dataclass(frozen=True)
class Examples:
    """The labelled states that switches learn from, of all seeds, filled up to the largest.

    Attributes:
      state_ZLND: float32 [seed, layer, instance, width].
      task_ZN: int32.
      source_ZN: whether it is of a source task.
      rank_ZN: an instance is among the n examples of each other task where its rank is below n; 0 for source tasks.
    """

    state_ZLND: np.ndarray
    task_ZN: np.ndarray
    source_ZN: np.ndarray
    rank_ZN: np.ndarray


def trained_switches(
    spec: SwitchSpec, analysis: AnalysisSpec, model: GPT2, datasets: Mapping[int, Dataset], params: Any, axis: str
) -> Iterator[TrainedSwitch]:
    """Every switch that is compared.

    Args:
      analysis: how KMeans is done.
      datasets: by seed, as the base model was trained on them.
      params: of the base model, stacked over the seeds.
      axis: how seeds are computed, as `over_seeds` takes it.
    """
    layers, sets = layer_names(model.spec.layers), tuple(datasets.values())
    training_ZLND = [reading.hidden_LND for reading in Reader(model, sets, axis)(params, "training")]
    examples = _examples(datasets, training_ZLND, max(spec.examples))
    yield from _learnt(spec, tuple(datasets), examples, layers, axis)
    at = layers.index(spec.layer)
    for number in spec.examples:
        columns = zip(examples.state_ZLND[:, at], examples.task_ZN, examples.source_ZN, strict=True)
        there_ZN = examples.rank_ZN < number
        found = [_means(*(c[there] for c in seed)) for seed, there in zip(columns, there_ZN, strict=True)]
        yield TrainedSwitch(variant(MEAN, examples=number), Centroids.decide, _stack(found), spec.layer)
    for label, run in KMEANS_RUNS.items():
        found = [
            _clusters(dataset, hidden_LND[at], label, seed_of(f"{run}/seed={seed}"), analysis)
            for (seed, dataset), hidden_LND in zip(datasets.items(), training_ZLND, strict=True)
        ]
        yield TrainedSwitch(run, Centroids.decide, _stack(found), spec.layer)


def _examples(datasets: Mapping[int, Dataset], training_ZLND: Sequence[np.ndarray], most: int) -> Examples:
    columns = []
    for (seed, dataset), hidden_LND in zip(datasets.items(), training_ZLND, strict=True):
        index_N, rank_N = switch_examples(dataset, most, seed)
        place_N = np.searchsorted(dataset.splits["training"], index_N)
        task_N, source_N = dataset.labels["task"][index_N], dataset.labels["target"][index_N] >= 0
        columns.append((hidden_LND[:, place_N], task_N, source_N, rank_N))
    fills = (0, -1, False, most)
    return Examples(
        *(stack_padded(column, fill) for column, fill in zip(zip(*columns, strict=True), fills, strict=True))
    )


def _learnt(
    spec: SwitchSpec, seeds: Sequence[int], examples: Examples, layers: Sequence[str], axis: str
) -> Iterator[TrainedSwitch]:
    """With several numbers of examples, and with the first of them from every block and the final norm."""
    keys = jnp.stack([jax.random.fold_in(jax.random.key(seed), 2) for seed in seeds])
    for kind, switch in TRAINED.items():
        train = jax.jit(over_seeds(partial(train_switch, switch, spec), axis))
        variations = [(variant(kind, examples=number), number, spec.layer) for number in spec.examples]
        variations += [
            (variant(kind, layer=layer), spec.examples[0], layer) for layer in layers[1:] if layer != spec.layer
        ]
        for run, number, layer in variations:
            state_ZND = examples.state_ZLND[:, layers.index(layer)]
            params = train(keys, state_ZND, examples.source_ZN, examples.rank_ZN < number)
            yield TrainedSwitch(run, switch.decide, params, layer)


def _means(state_ND: np.ndarray, task_N: np.ndarray, source_N: np.ndarray) -> Centroids:
    """The mean of each task's states."""
    tasks, first = np.unique(task_N, return_index=True)
    return Centroids(np.stack([state_ND[task_N == task].mean(axis=0) for task in tasks]), source_N[first])


def _clusters(dataset: Dataset, state_ND: np.ndarray, label: str, seed: int, analysis: AnalysisSpec) -> Centroids:
    """KMeans on the whole training set, with as many clusters as it has of a label."""
    labels = {name: column[dataset.splits["training"]] for name, column in dataset.labels.items()}
    parts = [labels[name] for name in label.split("_")]
    centroid_KD, cluster_N = centroids(state_ND, np.unique(parts, axis=1).shape[1], seed, analysis)
    share_K = np.bincount(cluster_N, labels["target"] >= 0) / np.bincount(cluster_N)
    return Centroids(centroid_KD, share_K > 0.5)


def _stack(found: Sequence[Centroids]) -> Centroids:
    """Centroids stacked over the seeds; what one lacks is infinitely far."""
    return Centroids(stack_padded([c.centroid_KD for c in found], np.inf), stack_padded([c.on_K for c in found], False))
