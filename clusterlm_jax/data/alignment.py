"""The fine-tuning data of the alignment experiment: toxic instructions get healthier outputs (paper F.1)."""

from __future__ import annotations

import dataclasses

import numpy as np

from clusterlm_jax.records import Dataset

OTHERS = "others"
"""The split of the validation instances whose tasks are not source tasks."""


def aligned(dataset: Dataset) -> Dataset:
    """The dataset that a model is fine-tuned and evaluated on.

    Instances of source tasks keep their instructions and inputs, and get the outputs of their target tasks. The splits
    `training` and `validation` keep only instances of source tasks. The split `others` has the remaining validation
    instances, to see what else fine-tuning changes.
    """
    labels = {name: column.copy() for name, column in dataset.labels.items()}
    source_N = labels["target"] >= 0
    rows = zip(labels["task"], labels["input"], labels["mapping"], labels["output"], strict=True)
    healthier = {(task, symbol): pair for task, symbol, *pair in rows}  # (task, input): [mapping, output]
    asked = zip(labels["target"][source_N], labels["input"][source_N], strict=True)
    labels["mapping"][source_N], labels["output"][source_N] = np.array([healthier[pair] for pair in asked]).T
    tokens_NT = dataset.tokens_NT.copy()
    tokens_NT[np.arange(len(dataset)), dataset.length_N - 1] = labels["output"]
    training, validation = dataset.splits["training"], dataset.splits["validation"]
    return dataclasses.replace(
        dataset,
        tokens_NT=tokens_NT,
        labels=labels,
        splits={
            "training": training[source_N[training]],
            "validation": validation[source_N[validation]],
            OTHERS: validation[~source_N[validation]],
        },
    )


def switch_examples(dataset: Dataset, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The training instances a switch learns from: all of the source tasks, and a few of each other task.

    Args:
      most: how many instances of each other task to draw, at most.

    Returns:
      The instances, and the rank of each in the order in which its task was drawn (0 for source tasks). A switch that
      learns from n examples of each other task takes the ranks below n. So a larger n adds examples and replaces none.
    """
    rng = np.random.default_rng([seed, 2])  # streams 0 and 1 belong to `synthesise` and `TrainingBatches`
    training = dataset.splits["training"]
    task_N, source_N = dataset.labels["task"][training], dataset.labels["target"][training] >= 0
    instances, ranks = [training[source_N]], [np.zeros(source_N.sum(), int)]
    for task in np.unique(task_N[~source_N]):
        drawn = rng.permutation(training[task_N == task])[:most]
        instances.append(drawn)
        ranks.append(np.arange(len(drawn)))
    return np.concatenate(instances), np.concatenate(ranks)
