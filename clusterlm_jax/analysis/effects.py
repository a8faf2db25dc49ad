"""Main effects in a grid where every setting has two values: which setting moves which outcome.

A screening design tries many settings in few runs: each run has a value of every setting, and each value is in half of
the runs. All runs then tell about every setting at once (Plackett and Burman 1946).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Factor(NamedTuple):
    """A setting, or several that change together, with its two levels, and which runs have the second one."""

    keys: tuple[str, ...]
    low: tuple[str, ...]  # of each key
    high: tuple[str, ...]
    is_high_Y: np.ndarray

    @property
    def words(self) -> str:
        """Its names and levels, short enough for a figure."""
        settings = zip(self.keys, self.low, self.high, strict=True)
        return "\n".join(f"{key.split('.')[-1]} {low} → {high}" for key, low, high in settings)


@dataclasses.dataclass(frozen=True)
class Design:
    """The completed runs of such a grid. Y: run of the grid, O: factor, or the constant.

    Attributes:
      factors: settings that differ; two that no run tells apart are one factor.
      outcomes: values of the runs by the words of the outcome.
      left_out: names of the points that are not completed.
    """

    factors: tuple[Factor, ...]
    outcomes: Mapping[str, np.ndarray]
    left_out: tuple[str, ...]

    @property
    def runs(self) -> int:
        return len(self.factors[0].is_high_Y)

    @functools.cached_property
    def model_YO(self) -> np.ndarray:
        """The main-effects model: a constant, and a column for every factor."""
        return np.stack([np.ones(self.runs), *(factor.is_high_Y for factor in self.factors)], axis=1)

    @functools.cached_property
    def freedom(self) -> int:
        """Degrees of freedom that the main effects leave for the standard error."""
        return self.runs - int(np.linalg.matrix_rank(self.model_YO))

    def sorted_by(self, outcome: str) -> list[Factor]:
        """The factors, the largest effect on an outcome first."""
        return sorted(self.factors, key=lambda factor: -abs(self.effect(factor, outcome)))

    def effect(self, factor: Factor, outcome: str) -> float:
        """Mean of an outcome over the runs at the second level less its mean over those at the first."""
        value_Y = self.outcomes[outcome]
        return float(value_Y[factor.is_high_Y].mean() - value_Y[~factor.is_high_Y].mean())

    def error(self, outcome: str) -> float | None:
        """Standard error of an effect on an outcome, the largest over the factors; None where no run is left for it.

        From the residuals of the main-effects model. With unused columns of a Plackett-Burman design, this is the root
        mean square of the effects they would have.
        """
        if not self.freedom:
            return None
        value_Y = self.outcomes[outcome]
        solution_O = np.linalg.lstsq(self.model_YO, value_Y, rcond=None)[0]
        variance = np.square(value_Y - self.model_YO @ solution_O).sum() / self.freedom
        highs = [int(factor.is_high_Y.sum()) for factor in self.factors]
        return math.sqrt(variance * max(1 / high + 1 / (self.runs - high) for high in highs))


def factors_of(found: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> tuple[Factor, ...]:
    """The settings that differ between these runs; those that change together are one factor."""
    together: dict[tuple[bool, ...], list[str]] = {}
    for key, values in found.items():
        as_first = tuple(values[name] == values[names[0]] for name in names)
        if not all(as_first):
            together.setdefault(as_first, []).append(key)
    factors = []
    for as_first, keys in together.items():
        first, other = names[0], names[as_first.index(False)]
        low, high = sorted((first, other), key=lambda name, key=keys[0]: _order(found[key][name]))
        levels = (tuple(str(found[key][name]) for key in keys) for name in (low, high))
        factors.append(Factor(tuple(keys), *levels, np.array(as_first) == (high == first)))
    return tuple(factors)


def _order(value: Any) -> tuple[float, str]:
    """Numbers by size, then all else by its letters."""
    return (value, "") if isinstance(value, int | float) else (math.inf, str(value))
