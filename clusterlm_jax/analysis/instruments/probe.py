"""A linear probe for the task, tested on instruction distributions it was not trained on. Not in the paper.

The distributions of every task with several of them are split into two halves. A probe learns the tasks from the
training instances of one half and is tested on the other half; then the halves change places. It can succeed only if
different-looking distributions of a task have a direction in common. In the *control task* (Hewitt and Liang, 2019) the
distributions are shuffled among the tasks. Its accuracy is what a probe reaches without any such direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clusterlm_jax.analysis.nulls import regrouped

PROBE_SCORES = ("probe_validation", "probe_training")  # tested on the model's validation and training data
HALVES = (0, 1)
INVERSE_PENALTY = 1.0  # C of scikit-learn, its default; it suits states scaled to a mean square of 1
ITERATIONS = 1000  # of L-BFGS, at most; about 20 are needed

Columns = Mapping[str, np.ndarray]


def halves(task_N: np.ndarray, distribution_N: np.ndarray, rng: np.random.Generator) -> dict[int, int]:
    """{distribution: half} for each task with several distributions. Of an odd number, half 0 gets one more."""
    half_of: dict[int, int] = {}
    for task in np.unique(task_N):
        distributions = rng.permutation(np.unique(distribution_N[task_N == task]))
        if len(distributions) > 1:
            half_of |= {int(distribution): place % 2 for place, distribution in enumerate(distributions)}
    return half_of


class Fit(NamedTuple):
    """A probe to fit to one half, and what it is tested on: validation, then training instances of the other half.

    Attributes:
      fitted_ND, class_N: the states it learns from, and their tasks.
      asked, expected: the states it is tested on, [instance, width] each, and their tasks.
    """

    fitted_ND: np.ndarray
    class_N: np.ndarray
    asked: tuple[np.ndarray, np.ndarray]
    expected: tuple[np.ndarray, np.ndarray]


def fits(
    query_QD: np.ndarray,
    queries: Columns,
    reference_ND: np.ndarray,
    references: Columns,
    rng: np.random.Generator,
    control: bool = False,
) -> list[Fit]:
    """The two probes to fit; none if fewer than two tasks have several distributions.

    Args:
      query_QD, reference_ND: states of validation and of the training set, [instance, width].
      queries, references: int columns `task` and `distribution` by name.
      rng: draws the halves and, for the control task, the tasks of the distributions.
      control: whether to measure the control task instead.
    """
    task_Q, task_N = queries["task"], references["task"]
    if control:
        both = np.concatenate([queries["distribution"], references["distribution"]])
        shuffled = regrouped(np.concatenate([task_Q, task_N]), both, rng)
        task_Q, task_N = np.split(shuffled, [len(task_Q)])
    half_of = halves(task_N, references["distribution"], rng)
    half_Q, half_N = (_halves_of(columns["distribution"], half_of) for columns in (queries, references))
    if len(np.unique(task_N[half_N >= 0])) < 2:
        return []
    # One scale for all directions keeps the geometry; without it the penalty would depend on the size of the states.
    mean_D = reference_ND[half_N >= 0].mean(axis=0)
    scale = np.sqrt(((reference_ND[half_N >= 0] - mean_D) ** 2).mean()) or 1  # 1 if all states are equal
    query_QD, reference_ND = (query_QD - mean_D) / scale, (reference_ND - mean_D) / scale
    found = []
    for half in HALVES:
        known_N, unseen_Q, unseen_N = half_N == half, half_Q == 1 - half, half_N == 1 - half
        asked, expected = (query_QD[unseen_Q], reference_ND[unseen_N]), (task_Q[unseen_Q], task_N[unseen_N])
        found.append(Fit(reference_ND[known_N], task_N[known_N], asked, expected))
    return found


def predictions(fitted_ND: np.ndarray, class_N: np.ndarray, asked: Sequence[np.ndarray]) -> np.ndarray:
    """The classes that a probe gives the states `asked`, one after the other, [M]. See `Fit`."""
    from sklearn.linear_model import LogisticRegression  # slow to import, and only workers need it

    probe = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS).fit(fitted_ND, class_N)
    return np.concatenate([class_N[:0], *(probe.predict(points_MD) for points_MD in asked if len(points_MD))])


def probe_scores(fitted: Sequence[Fit], predicted: Sequence[np.ndarray]) -> dict[str, float]:
    """Accuracy of the probe on instances of distributions it was not trained on, by score.

    It is nan if there are no such instances, or no probes.

    Args:
      predicted: what `predictions` gives for each of the probes.
    """
    values = {}
    for place, score in enumerate(PROBE_SCORES):
        right_M = [
            (np.split(predicted_M, [len(fit.expected[0])])[place] == fit.expected[place])
            for fit, predicted_M in zip(fitted, predicted, strict=True)
        ]
        tested = sum(map(len, right_M))
        values[score] = float(np.concatenate(right_M).mean()) if tested else float("nan")
    return values


def _halves_of(distribution_N: np.ndarray, half_of: Mapping[int, int]) -> np.ndarray:
    """The half of each instance, -1 if its distribution is in none."""
    return np.array([half_of.get(int(distribution), -1) for distribution in distribution_N])
