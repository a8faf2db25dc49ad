"""Which setting moves which outcome, in a grid where every setting has two values (ours; see `analysis.effects`)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clusterlm_jax.analysis.effects import Design, factors_of
from clusterlm_jax.experiments.emergence.comparison.measures import best_accuracy, best_f1, last_block
from clusterlm_jax.report.comparison import Point
from clusterlm_jax.report.drawing import CATEGORIES, add_subtitle
from clusterlm_jax.report.page import FigureEntry, TableEntry
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.tables import Table
from clusterlm_jax.report.words import counted
from clusterlm_jax.workdir import MAY_DIFFER, flatten

FEWEST_RUNS = 4
COLUMNS = 4  # panels side by side
ACROSS = "neighbours of other\ndistributions, last block"
OUTCOMES: Mapping[str, Callable[[Run], float]] = {
    "best validation accuracy": best_accuracy,
    "task F1, raw states,\nbest block": functools.partial(best_f1, reducer="none"),
    "task F1, raw states,\nlast block": functools.partial(last_block, score="f1", reducer="none"),
    "neighbours of the same\ntask, last block": functools.partial(last_block, score="knn_percentage"),
    "task F1, t-SNE,\nbest block": functools.partial(best_f1, reducer="tsne"),
    "task F1, t-SNE,\nlast block": functools.partial(last_block, score="f1", reducer="tsne"),
    ACROSS: functools.partial(last_block, score="across"),
    "the same, less\nwhat chance gives": lambda run: (
        last_block(run, "across") - last_block(run, "across", "shuffled_task")
    ),
}


def varied(points: Sequence[Point[Run]]) -> dict[str, dict[str, Any]]:
    """The value at every point of each key in which their configurations differ, but for keys that change no number."""
    configs = {point.name: flatten(dict(point.run.config)) for point in points if point.run is not None}
    keys = dict.fromkeys(key for config in configs.values() for key in config if not key.startswith(MAY_DIFFER))
    found = {key: {name: config.get(key) for name, config in configs.items()} for key in keys}
    return {key: values for key, values in found.items() if len(set(map(repr, values.values()))) > 1}


def read_design(points: Sequence[Point[Run]]) -> Design | None:
    """The design of a grid; None where a setting has more than two values or too few runs are completed."""
    found = varied(points)
    if any(len(set(map(repr, values.values()))) > 2 for values in found.values()):
        return None
    known = {point.name: _outcomes(point) for point in points}
    scored = [outcome for outcome in OUTCOMES if any(outcome in values for values in known.values())]
    names = [name for name, values in known.items() if scored and all(outcome in values for outcome in scored)]
    factors = factors_of(found, names)
    if len(names) < FEWEST_RUNS or not factors:
        return None
    outcomes = {outcome: np.array([known[name][outcome] for name in names]) for outcome in scored}
    return Design(factors, outcomes, tuple(name for name in known if name not in names))


def _outcomes(point: Point[Run]) -> dict[str, float]:
    """Mean over the seeds of every outcome that was measured; empty until the last epoch is analysed."""
    if point.run is None or set(point.each_seed(lambda run: run.last)) != {point.run.whole}:
        return {}
    each = {outcome: point.each_seed(measure) for outcome, measure in OUTCOMES.items()}
    return {outcome: float(np.mean(values)) for outcome, values in each.items() if values}


def _leading(design: Design) -> str:
    """The outcome whose largest effect stands first."""
    return ACROSS if ACROSS in design.outcomes else list(design.outcomes)[-1]


def figure_effects(design: Design) -> Figure:
    """The effect of every factor, a panel for each outcome, with a band of two standard errors."""
    rows = math.ceil(len(design.outcomes) / COLUMNS)
    height = 0.5 + rows * (0.75 + 0.26 * len(design.factors))
    figure = Figure(figsize=(8.2, height), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(design.outcomes) :]:
        axis.set_visible(False)
    for axis, outcome in zip(axes.flat, design.outcomes, strict=False):
        _draw_effects(axis, design, outcome)
    axes[0, 0].set(yticks=range(len(design.factors)), ylim=(len(design.factors) - 0.5, -0.5))
    for axis in axes[:, 0]:
        axis.set_yticklabels([factor.words for factor in design.sorted_by(_leading(design))], fontsize=6.5)
    for axis in axes[-1]:
        axis.set_xlabel("effect")
    add_subtitle(figure, f"second level less first, validation, {design.runs} runs")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / height))  # below the subtitle
    return figure


def _draw_effects(axis: Axes, design: Design, outcome: str) -> None:
    axis.set_title(outcome, loc="left", fontsize=7.5)
    if (error := design.error(outcome)) is not None:
        axis.axvspan(-2 * error, 2 * error, color=".88", linewidth=0, zorder=0.5)
    axis.axvline(0, color=".4", linewidth=0.8)
    effects = [design.effect(factor, outcome) for factor in design.sorted_by(_leading(design))]
    axis.plot(effects, range(len(effects)), "o", color=CATEGORIES[0], markersize=4)


def _table(design: Design) -> Table:
    rows = [
        (*map(", ".join, (f.keys, f.low, f.high)), *(design.effect(f, outcome) for outcome in design.outcomes))
        for f in design.sorted_by(_leading(design))
    ]
    if design.freedom:
        rows.append(("standard error of an effect", "", "", *map(design.error, design.outcomes)))
    header = ("setting", "first level", "second level", *(outcome.replace("\n", " ") for outcome in design.outcomes))
    return Table(header, tuple(rows))


def entries(points: Sequence[Point[Run]]) -> tuple[tuple[FigureEntry, ...], tuple[TableEntry, ...]]:
    """The figure and the table of a grid that is such a design; none of any other."""
    design = read_design(points)
    if design is None:
        return (), ()
    title, note = "Which setting decides", "The figure in numbers: the effect of every setting on every outcome."
    figure = FigureEntry("figure_effects", title, _caption(design), lambda points: figure_effects(design))
    return (figure,), (TableEntry("table_effects", title, note, lambda points: _table(design)),)


def _caption(design: Design) -> str:
    words = (
        "The effect of a setting is the mean of an outcome over the runs at its second level less the mean over those "
        "at its first. Clusters and neighbours are those of the last epoch. The setting with the largest effect stands "
        f"first, by this outcome: {' '.join(_leading(design).split())}. "
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
        f"{counted(design.freedom, 'degree')} of freedom: the fewer, the less they can be trusted."
    )
