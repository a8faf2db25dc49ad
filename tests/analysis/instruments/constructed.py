"""States with known structure: 6 tasks with 4 distributions and 3 inputs each, out of 6 inputs that tasks share."""

from __future__ import annotations

import numpy as np

TASKS, DISTRIBUTIONS, INPUTS = 6, 4, 3  # distributions and inputs of each task
SYMBOLS = 6  # of the inputs; each belongs to 3 tasks
WIDTH = 32  # more than there are distributions, so that their directions are independent
Columns = dict[str, np.ndarray]


def columns_of(instructions: int) -> Columns:
    """The columns of a balanced split with this many instructions of each distribution."""
    shape = TASKS, DISTRIBUTIONS, instructions, INPUTS
    task, distribution, _, mapping = (axis.ravel() for axis in np.indices(shape))
    return {
        "task": task,
        "distribution": 100 + DISTRIBUTIONS * task + distribution,
        "mapping": INPUTS * task + mapping,
        "input": 40 + (task + mapping) % SYMBOLS,
    }


def states_of(columns: Columns, seed: int, noise_seed: int = 0, noise: float = 0.1, **weights: float) -> np.ndarray:
    """States [instance, width]: noise, plus a random direction for each value of a label, times the label's weight.

    States of the same `seed` share the directions; `noise_seed` changes only the noise.
    """
    directions = np.random.default_rng(seed)
    hidden_ND = noise * np.random.default_rng([seed, noise_seed]).standard_normal((len(columns["task"]), WIDTH))
    for label, weight in weights.items():
        direction_SD = directions.standard_normal((200, WIDTH))
        hidden_ND += weight * direction_SD[columns[label]]
    return hidden_ND


# The label with the largest weight is the coarse level; the groups of the others lie within its groups.
TASK_COARSE = {"task": 30.0, "distribution": 3.0, "mapping": 1.0}
INPUT_COARSE = {"input": 30.0, "task": 5.0, "distribution": 0.5}
DISTRIBUTION_ONLY = {"distribution": 10.0}  # distributions are clear clusters; states do not depend on the task


def permuted(columns: Columns, hidden_ND: np.ndarray, rng: np.random.Generator) -> tuple[Columns, np.ndarray]:
    """The same instances in another order."""
    order_N = rng.permutation(len(hidden_ND))
    return {name: column[order_N] for name, column in columns.items()}, hidden_ND[order_N]


def near_zero(values: list[float], deviations: float = 4) -> bool:
    """Whether the mean of independent values is 0 within this many standard errors."""
    return abs(np.mean(values)) < deviations * np.std(values, ddof=1) / len(values) ** 0.5
