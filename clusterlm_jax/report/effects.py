"""Main effects: which setting moves which outcome, in a grid where every setting has two values (ours).

A screening design tries many settings in few runs: each run has a value of every setting, and each value is in half of
the runs. All runs then tell about every setting at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.points import Point
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.style import CATEGORIES, add_title
from clusterlm_jax.report.summary import MEASURES
from clusterlm_jax.report.tables import Table, TableEntry
from clusterlm_jax.workdir import MAY_DIFFER, flatten

SPLIT = "validation"
FEWEST_RUNS = 4
COLUMNS = 4  # panels side by side


class Factor(NamedTuple):
    """A setting, or several that change together, with its two levels, and which runs have the second one."""

    keys: tuple[str, ...]
    low: tuple[str, ...]  # of each key
    high: tuple[str, ...]
    is_high_R: np.ndarray

    @property
    def words(self) -> str:
        """Its names and levels, short enough for a figure."""
        settings = zip(self.keys, self.low, self.high, strict=True)
        return "\n".join(f"{key.split('.')[-1]} {low} → {high}" for key, low, high in settings)


@dataclasses.dataclass(frozen=True)
class Design:
    """The completed runs of such a grid. R: run.

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
        return len(self.factors[0].is_high_R)

    @functools.cached_property
    def model_RM(self) -> np.ndarray:
        """The main-effects model: a constant, and a column for every factor."""
        return np.stack([np.ones(self.runs), *(factor.is_high_R for factor in self.factors)], axis=1)

    @functools.cached_property
    def freedom(self) -> int:
        """Degrees of freedom that the main effects leave for the standard error."""
        return self.runs - int(np.linalg.matrix_rank(self.model_RM))

    def effect(self, factor: Factor, outcome: str) -> float:
        """Mean of an outcome over the runs at the second level less its mean over those at the first."""
        value_R = self.outcomes[outcome]
        return float(value_R[factor.is_high_R].mean() - value_R[~factor.is_high_R].mean())

    def error(self, outcome: str) -> float | None:
        """Standard error of an effect on an outcome, the largest over the factors; None where no run is left for it.

        From the residuals of the main-effects model. With unused columns of a Plackett-Burman design, this is the root
        mean square of the effects they would have.
        """
        if not self.freedom:
            return None
        value_R = self.outcomes[outcome]
        solution_M = np.linalg.lstsq(self.model_RM, value_R, rcond=None)[0]
        variance = np.square(value_R - self.model_RM @ solution_M).sum() / self.freedom
        highs = [int(factor.is_high_R.sum()) for factor in self.factors]
        return math.sqrt(variance * max(1 / high + 1 / (self.runs - high) for high in highs))


def _task_f1_last_block(run: Run, reducer: str) -> float:
    return run.mean("f1", "task", SPLIT, (run.top,), (run.moments["last"],), reducer)


def _neighbours(run: Run, score: str, label: str = "task") -> float:
    return run.mean(score, label, SPLIT, (run.top,), (run.moments["last"],), "none")


ACROSS = "neighbours of other\ndistributions, last block"
OUTCOMES: Mapping[str, Callable[[Run], float]] = {
    "best validation accuracy": MEASURES["best_accuracy"][1],
    "task F1, raw states,\nbest block": MEASURES["task_f1_best_last_none"][1],
    "task F1, raw states,\nlast block": functools.partial(_task_f1_last_block, reducer="none"),
    "neighbours of the same\ntask, last block": functools.partial(_neighbours, score="knn_percentage"),
    "task F1, t-SNE,\nbest block": MEASURES["task_f1_best_last_tsne"][1],
    "task F1, t-SNE,\nlast block": functools.partial(_task_f1_last_block, reducer="tsne"),
    ACROSS: functools.partial(_neighbours, score="across"),
    "the same, less\nwhat chance gives": lambda run: (
        _neighbours(run, "across") - _neighbours(run, "across", "shuffled_task")
    ),
}


def varied(points: Sequence[Point]) -> dict[str, dict[str, Any]]:
    """The value at every point of each key in which their configurations differ, but for keys that change no number."""
    configs = {point.name: flatten(dict(point.run.config)) for point in points if point.run is not None}
    keys = dict.fromkeys(key for config in configs.values() for key in config if not key.startswith(MAY_DIFFER))
    found = {key: {name: config.get(key) for name, config in configs.items()} for key in keys}
    return {key: values for key, values in found.items() if len(set(map(repr, values.values()))) > 1}


def read_design(points: Sequence[Point]) -> Design | None:
    """The design of a grid; None where a setting has more than two values or too few runs are completed."""
    found = varied(points)
    if any(len(set(map(repr, values.values()))) > 2 for values in found.values()):
        return None
    known = {point.name: _outcomes(point) for point in points}
    scored = [outcome for outcome in OUTCOMES if any(outcome in values for values in known.values())]
    names = [name for name, values in known.items() if scored and all(outcome in values for outcome in scored)]
    factors = _factors(found, names)
    if len(names) < FEWEST_RUNS or not factors:
        return None
    outcomes = {outcome: np.array([known[name][outcome] for name in names]) for outcome in scored}
    return Design(factors, outcomes, tuple(name for name in known if name not in names))


def _outcomes(point: Point) -> dict[str, float]:
    """Mean over the seeds of every outcome that was measured; empty until the last epoch is analysed."""
    if point.run is None or set(point.each_seed(lambda run: run.moments["last"])) != {point.epochs}:
        return {}
    each = {outcome: point.each_seed(measure) for outcome, measure in OUTCOMES.items()}
    return {outcome: float(np.mean(values)) for outcome, values in each.items() if values}


def _factors(found: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> tuple[Factor, ...]:
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


def figure_effects(design: Design) -> Figure:
    """The effect of every factor, a panel for each outcome, beside two standard errors."""
    factors = _sorted(design)
    rows = math.ceil(len(design.outcomes) / COLUMNS)
    height = 0.5 + rows * (0.75 + 0.26 * len(factors))
    figure = Figure(figsize=(8.2, height), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(design.outcomes) :]:
        axis.set_visible(False)
    for axis, outcome in zip(axes.flat, design.outcomes, strict=False):
        _draw_effects(axis, design, factors, outcome)
    axes[0, 0].set(yticks=range(len(factors)), ylim=(len(factors) - 0.5, -0.5))
    for axis in axes[:, 0]:
        axis.set_yticklabels([factor.words for factor in factors], fontsize=6.5)
    for axis in axes[-1]:
        axis.set_xlabel("effect")
    add_title(figure, f"What each setting changes, second level less first, validation, {design.runs} runs")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / height))  # below the title
    return figure


def _draw_effects(axis: Axes, design: Design, factors: Sequence[Factor], outcome: str) -> None:
    axis.set_title(outcome, loc="left", fontsize=7.5)
    if (error := design.error(outcome)) is not None:
        axis.axvspan(-2 * error, 2 * error, color=".88", linewidth=0, zorder=0.5)
    axis.axvline(0, color=".4", linewidth=0.8)
    effects = [design.effect(factor, outcome) for factor in factors]
    axis.plot(effects, range(len(factors)), "o", color=CATEGORIES[0], markersize=4)


def _sorted(design: Design) -> list[Factor]:
    """The largest effect on the neighbours of other distributions first; on the last outcome where they are missing."""
    by = ACROSS if ACROSS in design.outcomes else list(design.outcomes)[-1]
    return sorted(design.factors, key=lambda factor: -abs(design.effect(factor, by)))


def _table(design: Design) -> Table:
    rows = [
        (*map(", ".join, (f.keys, f.low, f.high)), *(design.effect(f, outcome) for outcome in design.outcomes))
        for f in _sorted(design)
    ]
    if design.freedom:
        rows.append(("standard error of an effect", "", "", *map(design.error, design.outcomes)))
    header = ("setting", "first level", "second level", *(outcome.replace("\n", " ") for outcome in design.outcomes))
    return Table(header, tuple(rows))


def entries(points: Sequence[Point]) -> tuple[tuple[FigureEntry, ...], tuple[TableEntry, ...]]:
    """The figure and the table of a grid that is such a design; none of any other."""
    design = read_design(points)
    if design is None:
        return (), ()
    title = "Which setting decides"
    figure = FigureEntry("figure_effects", title, _caption(design), lambda points, spec: figure_effects(design))
    return (figure,), (TableEntry("table_effects", title, _caption(design), lambda points: _table(design)),)


def _caption(design: Design) -> str:
    words = (
        "The effect of a setting is the mean of an outcome over the runs at its second level less the mean over those "
        "at its first. Clusters and neighbours are those of the last epoch. The setting with the largest effect on the "
        "neighbours of other distributions stands first. "
    )
    if design.left_out:
        words += (
            f"Left out, as not completed: {', '.join(design.left_out)}; without them the levels of the other settings "
            "may be unbalanced, so that an effect contains part of another. "
        )
    if not design.freedom:
        return words + "There are no more runs than effects to estimate, so there is no standard error."
    return words + (
        "Two standard errors are grey in the figure. They come from what the main effects leave unexplained, with "
        f"{design.freedom} degrees of freedom: the fewer, the less they can be trusted."
    )
