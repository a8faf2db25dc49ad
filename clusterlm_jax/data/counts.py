"""How many instruction distributions each task has: drawn freely (table 3), or so that the totals equal table 2."""

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
    """How many instruction distributions each regular task has if the spec gives their totals (table 2).

    All assignments with these totals are equally likely. That is the result of drawing freely until the totals are
    right; here the chances are computed instead, because such draws are rare.

    Args:
      validation: the validation tasks.
      originals: the tasks that hard tasks are made from.

    Raises:
      UserError: if no assignment has these totals.
    """
    regular = range(spec.regular_tasks)
    groups = [
        [task for task in regular if (task in validation, task in originals) == roles]
        for roles in ((True, True), (True, False), (False, True), (False, False))
    ]
    # A task is in `validation`, in `originals`, in both or in neither. The total of the tasks in both determines the
    # totals of the other three groups: `sums` is [group, possible total of the tasks in both].
    in_both = np.arange(spec.max_distributions_per_task * len(groups[0]) + 1)
    validation_sum, hard_sum = spec.validation_distributions, spec.hard_distributions
    regular_sum = spec.number_of_distributions - hard_sum
    sums = np.stack(
        [in_both, validation_sum - in_both, hard_sum - in_both, regular_sum - validation_sum - hard_sum + in_both]
    )
    weights = np.prod([_chance_of_sum(spec, len(group), s) for group, s in zip(groups, sums, strict=True)], axis=0)
    if not weights.sum() > 0:
        raise UserError(
            f"data.number_of_distributions = {spec.number_of_distributions}, data.validation_distributions = "
            f"{validation_sum} and data.hard_distributions = {hard_sum} do not fit together: no draw for the "
            f"{len(groups[3])} other tasks gives the remaining number. Change one of the three."
        )
    sum_G = sums[:, rng.choice(len(in_both), p=weights / weights.sum())]
    counts = dict.fromkeys(regular, 0)
    choices = np.arange(spec.min_distributions_per_task, spec.max_distributions_per_task + 1)
    # Within a group, draw one task after another, given the total that is left for the rest of the group.
    for group, left in zip(groups, sum_G, strict=True):
        for done, task in enumerate(group, start=1):
            chance = _chance_of_sum(spec, len(group) - done, left - choices)
            counts[task] = int(rng.choice(choices, p=chance / chance.sum()))
            left -= counts[task]
    return list(counts.values())


def _chance_of_sum(spec: DataSpec, tasks: int, sums: np.ndarray) -> np.ndarray:
    """The chance that free draws for `tasks` tasks add up to each of `sums`.

    The distribution of a sum of independent draws is the convolution of their distributions.
    """
    one = np.zeros(spec.max_distributions_per_task + 1)
    one[spec.min_distributions_per_task :] = 1 / (len(one) - spec.min_distributions_per_task)
    chance = np.ones(1)
    for _ in range(tasks):
        chance = np.convolve(chance, one)
    possible = (sums >= 0) & (sums < len(chance))
    return np.where(possible, chance[np.where(possible, sums, 0)], 0)
