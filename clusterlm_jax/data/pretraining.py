"""The two pre-training datasets (paper 4.1): task identities from instructions, and instructions alone.

Each is made from a synthetic dataset and keeps its splits. An instance is one instruction, without any mapping. The
columns `input` and `output` hold the trigger and the task identity, or the last two symbols of the instruction.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from clusterlm_jax.records import PADDING, Dataset, UserError

SHORTEST = 3  # symbols; shorter instructions are not learned alone


def with_task_identities(dataset: Dataset) -> Dataset:
    """The same instances, with a vocabulary that also has the trigger and a token for each task identity."""
    identities = int(dataset.labels["task"].max()) + 1
    return dataclasses.replace(dataset, vocabulary=dataclasses.replace(dataset.vocabulary, task_identities=identities))


def task_identification(dataset: Dataset) -> Dataset:
    """Every instruction once, as `[instruction, trigger, task identity]`.

    The column `input` is the trigger, where hidden states are read. The column `output` is the identity, whose accuracy
    is measured. A hard example has the identity of its own task, not of the task it was made from.

    Args:
      dataset: a dataset from `with_task_identities`.
    """
    instance_M = _first_of_each_instruction(dataset)
    tokens_MT, length_M = _instructions(dataset, instance_M), dataset.length_N[instance_M]
    every = np.arange(len(instance_M))
    tokens_MT[every, length_M - 2] = dataset.vocabulary.trigger
    tokens_MT[every, length_M - 1] = dataset.vocabulary.identity_token(dataset.labels["task"][instance_M])
    return _derived(dataset, instance_M, tokens_MT, length_M)


def instructions_alone(dataset: Dataset) -> Dataset:
    """Every instruction once and nothing else. Its last two symbols are in the columns `input` and `output`.

    Instructions of fewer than `SHORTEST` symbols are left out: one symbol leaves nothing to predict, two hardly
    anything.

    Raises:
      UserError: if no instruction is left in training or in validation.
    """
    instance_M = _first_of_each_instruction(dataset)
    instance_M = instance_M[dataset.length_N[instance_M] - 2 >= SHORTEST]
    alone = _derived(dataset, instance_M, _instructions(dataset, instance_M), dataset.length_N[instance_M] - 2)
    for split in ("training", "validation"):
        if len(dataset.splits[split]) and not len(alone.splits[split]):
            raise UserError(
                f"No {split} instruction has {SHORTEST} symbols or more, as pre-training on instructions needs: "
                "raise data.shortest_instruction."
            )
    return alone


def _first_of_each_instruction(dataset: Dataset) -> np.ndarray:
    """The first instance of every instruction. It has the splits of all, as they never divide an instruction."""
    return np.unique(dataset.labels["instruction"], return_index=True)[1]


def _instructions(dataset: Dataset, instance_M: np.ndarray) -> np.ndarray:
    """Tokens of the instances [instance, longest], with inputs and outputs replaced by padding."""
    tokens_MT = dataset.tokens_NT[instance_M]
    symbol = np.arange(tokens_MT.shape[1]) < dataset.length_N[instance_M, None] - 2
    return np.where(symbol, tokens_MT, PADDING)


def _derived(dataset: Dataset, instance_M: np.ndarray, tokens_MT: np.ndarray, length_M: np.ndarray) -> Dataset:
    """A dataset of these tokens, with the identities and splits of the instances they were made from."""
    every = np.arange(len(instance_M))
    pair_2M = np.stack([tokens_MT[every, length_M - 2], tokens_MT[every, length_M - 1]])
    mapping_M = np.unique(pair_2M, axis=1, return_inverse=True)[1].ravel().astype(np.int32)
    labels = {name: column[instance_M] for name, column in dataset.labels.items()}
    return dataclasses.replace(
        dataset,
        tokens_NT=tokens_MT,
        length_N=length_M,
        labels=labels | {"mapping": mapping_M, "input": pair_2M[0], "output": pair_2M[1]},
        splits={
            name: np.flatnonzero(np.isin(instance_M, index)).astype(np.int32) for name, index in dataset.splits.items()
        },
    )
