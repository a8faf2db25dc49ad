"""How many instruction distributions each task has: a free draw (table 3), or one with the sums of table 2."""

from __future__ import annotations

import numpy as np

from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.records import UserError


def draw_distribution_counts(spec: DataSpec, rng: np.random.Generator) -> list[int]:
    """How many instruction distributions each regular task has."""
    low, high = spec.min_distributions_per_task, spec.max_distributions_per_task
    return [int(rng.integers(low, high, endpoint=True)) for _ in range(spec.regular_tasks)]


def fixed_distribution_counts(
    spec: DataSpec, rng: np.random.Generator, validation: frozenset[int], originals: frozenset[int]
) -> list[int]:
    """How many instruction distributions each regular task has where the spec gives their sums (table 2).

    Every assignment with these sums is equally likely, as if the counts were drawn freely until the sums came out.

    Raises:
      UserError: if these tasks have no such assignment.
    """
    regular = range(spec.regular_tasks)
    groups = [
        [task for task in regular if (task in validation, task in originals) == roles]
        for roles in ((True, True), (True, False), (False, True), (False, False))
    ]
    # Once we know how many distributions the tasks with both roles have, the sum of every other group follows.
    in_both = np.arange(spec.max_distributions_per_task * len(groups[0]) + 1)
    validation_sum, hard_sum = spec.validation_distributions, spec.hard_distributions
    regular_sum = spec.number_of_distributions - hard_sum
    sums_GS = np.stack(
        [in_both, validation_sum - in_both, hard_sum - in_both, regular_sum - validation_sum - hard_sum + in_both]
    )
    weight_S = np.prod([_chance_of_sum(spec, len(group), s) for group, s in zip(groups, sums_GS, strict=True)], axis=0)
    if not weight_S.sum() > 0:
        raise UserError(
            f"data.number_of_distributions = {spec.number_of_distributions}, data.validation_distributions = "
            f"{validation_sum} and data.hard_distributions = {hard_sum} exclude each other: the "
            f"{len(groups[3])} other tasks cannot have what is left. Change one of them."
        )
    sum_G = sums_GS[:, rng.choice(len(in_both), p=weight_S / weight_S.sum())]
    counts = dict.fromkeys(regular, 0)
    choices = np.arange(spec.min_distributions_per_task, spec.max_distributions_per_task + 1)
    for group, left in zip(groups, sum_G, strict=True):
        for done, task in enumerate(group, start=1):
            chance = _chance_of_sum(spec, len(group) - done, left - choices)
            counts[task] = int(rng.choice(choices, p=chance / chance.sum()))
            left -= counts[task]
    return list(counts.values())


def _chance_of_sum(spec: DataSpec, tasks: int, sums: np.ndarray) -> np.ndarray:
    """The chance that the free draw gives so many tasks each of these sums of distributions."""
    one = np.zeros(spec.max_distributions_per_task + 1)
    one[spec.min_distributions_per_task :] = 1 / (len(one) - spec.min_distributions_per_task)
    chance = np.ones(1)
    for _ in range(tasks):
        chance = np.convolve(chance, one)
    possible = (sums >= 0) & (sums < len(chance))
    return np.where(possible, chance[np.where(possible, sums, 0)], 0)
