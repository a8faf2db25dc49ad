"""The page of several runs of the main experiment: what they have in common and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.emergence.claims import CLAIMS
from clusterlm_jax.experiments.emergence.comparison import effects
from clusterlm_jax.experiments.emergence.comparison.measures import MEASURES, summary
from clusterlm_jax.experiments.emergence.correlation import PERFORMANCES, correlations
from clusterlm_jax.report import comparison, drawing
from clusterlm_jax.report.comparison import Point, known, table_of
from clusterlm_jax.report.page import figure, table
from clusterlm_jax.report.paper import STRONG
from clusterlm_jax.report.reading import over_seeds as mean_curves
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, over_seeds
from clusterlm_jax.report.words import INPUT_REMOVED, SCORE_WORDS, SPACES, counted

Points = Sequence[Point[Run]]


class Panel(NamedTuple):
    """A panel of the figure over training, and what it shows of one seed: a curve, empty or `NotRun` where not run."""

    title: str
    unit: str
    curve: Callable[[Run], Curve]


PANELS = (
    Panel("(a) validation accuracy", "task accuracy", lambda run: run.metrics.get("validation_accuracy", {})),
    Panel("(b) task clusters, best block", "task F1", lambda run: run.over_blocks(max, score="f1")),
    Panel(
        "(c) without the input symbol, mean of the blocks",
        "task F1",
        lambda run: run.over_blocks(np.mean, reducer=INPUT_REMOVED, score="f1"),
    ),
    Panel(
        "(d) neighbours with the same task, top block",
        "share of the neighbours",
        lambda run: run.curve(layer=run.top, score="knn_percentage"),
    ),
)


def write(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Compares runs, as far as each has come; writes `figures/`, `tables/` and `report.html`, and returns its path."""
    points = comparison.read_points(read_main, _progress, workdirs, into)
    settings = (_settings,) if effects.varied(points) else ()
    figures, tables = effects.entries(points)
    return comparison.write(
        "Do clusters by task emerge?",
        points,
        (figure_training, figure_correlation, *figures),
        (*settings, comparison.claims_entry(CLAIMS), _correlation, _measures, *tables),
        into,
        spec,
    )


def _progress(run: Run) -> str:
    if not run.metrics:
        raise NotRun("nothing has been trained yet")
    seeds = f"seed{'s' * (len(run.seeds) > 1)} {', '.join(map(str, run.seeds))}"
    return f"{run.trained} of {counted(run.whole, 'epoch')}, {seeds}"


@figure(
    "figure_training",
    "Side by side over training (figures 7 to 10)",
    "The paper: the clusters and trends of width 768 are seen at 32 and 2048 as well. (b) is of each run's own "
    "reducer, named in the table, and of the best block at every epoch. Where trainings differ in length, the axis "
    "is the share of it.",
)
def figure_training(points: Points) -> Figure:
    shown = known(points)
    in_shares = len({point.run.whole for point in shown}) > 1
    figure, axes = drawing.grid(2, 2, "validation" + _seeds_words(shown), (2.9, 1.5), 0.6)
    for axis, panel in zip(axes.flat, PANELS, strict=True):
        axis.set_title(panel.title, loc="left")
        for point in shown:
            means, deviations = mean_curves([{"": curve} for curve in point.each_seed(panel.curve)] or [{}])
            if curve := means.get("", {}):
                scale = point.run.whole if in_shares else 1
                curve = {epoch / scale: value for epoch, value in curve.items()}
                drawing.draw_curve(axis, curve, deviations.get(""), **point.line)
        axis.set(ylim=(-0.03, 1.03), ylabel=panel.unit)
        if not axis.lines:
            drawing.say_not_run(axis, "at no point yet")
    for axis in axes[-1]:
        axis.set_xlabel("share of training" if in_shares else "epoch")
    drawing.legend(figure, [point.handle for point in points])
    return figure


@figure(
    "figure_correlation",
    "Performance and clusters by depth (figure 15)",
    "The paper: r reaches over .6 with accuracy and below -.6 with loss in the top layers. The final norm, which is no "
    "block, is left out.",
)
def figure_correlation(points: Points) -> Figure:
    shown = _correlated(points)
    subtitle = "validation" + _seeds_words(shown)
    figure, axes = drawing.grid(len(PERFORMANCES), len(SCORE_WORDS), subtitle, panel=(2.1, 1.4))
    for row, performance in zip(axes, PERFORMANCES, strict=True):
        for axis, score in zip(row, SCORE_WORDS, strict=True):
            for point in shown:
                _draw_correlation(axis, point, performance, score)
            axis.axhline(STRONG if performance == "accuracy" else -STRONG, color=".3", linestyle=":", linewidth=1)
            axis.set(xlim=(-0.05, 1.05), ylim=(-1.05, 1.05))
    drawing.name_panels(
        axes,
        [f"r with {performance}" for performance in PERFORMANCES],
        [f"task {words}" for words in SCORE_WORDS.values()],
        "depth (0: embedding, 1: top block)",
    )
    threshold = Line2D([], [], color=".3", linestyle=":", label=f"the paper's threshold, ±{STRONG}")
    drawing.legend(figure, [*(point.handle for point in points), threshold])
    return figure


def _draw_correlation(axis: Axes, point: Point[Run], performance: str, score: str) -> None:
    """The layers stand at their depth, so that models of several depths share an axis."""
    layers = point.run.indices
    depths = dict(zip(np.linspace(0, 1, len(layers)), layers, strict=True))
    each = [
        {"": {depth: found[performance, score][layer] for depth, layer in depths.items()}}
        for found in point.each_seed(correlations)
    ]
    means, deviations = mean_curves(each)
    drawing.draw_curve(axis, means[""], deviations.get(""), **point.line)


@table(
    "table_settings", "Settings", "What differs between the configurations of the runs; a point's name may not tell."
)
def _settings(points: Points) -> Table:
    shown = known(points)
    rows = (((key,), [str(values[point.name]) for point in shown]) for key, values in effects.varied(points).items())
    return table_of(["setting"], shown, rows)


@table(
    "table_correlation",
    "Correlation of performance and task clusters",
    "Over the analysed epochs, validation, with the paper's thresholds; of several values the mean ± sample standard "
    "deviation.",
)
def _correlation(points: Points) -> Table:
    shown = _correlated(points)
    rows = []
    for performance in PERFORMANCES:
        threshold = f"> {STRONG}" if performance == "accuracy" else f"< -{STRONG}"
        for score, words in SCORE_WORDS.items():
            each = [[r[performance, score][point.run.top] for r in point.each_seed(correlations)] for point in shown]
            together = over_seeds([value for of_point in each for value in of_point])
            rows.append(((f"{performance} and task {words}", threshold, together), map(over_seeds, each)))
    return table_of(("Pearson r, top block", "the paper", "all points and seeds"), shown, rows)


@table(
    "table_comparison",
    "Measures",
    "Validation unless said otherwise; of several seeds the mean ± sample standard deviation.",
)
def _measures(points: Points) -> Table:
    shown = known(points)
    rows = [
        (("seeds",), [len(point.run.seeds) for point in shown]),
        (("epochs",), [point.run.whole for point in shown]),
        (("reducer",), [next(iter(point.each_seed(lambda run: SPACES[run.reducer])), None) for point in shown]),
    ]
    each = [point.each_seed(summary) for point in shown]
    for name, (words, _) in MEASURES.items():
        rows.append(((words,), [over_seeds([values[name] for values in of_point]) for of_point in each]))
    return table_of(["measure"], shown, rows)


def _correlated(points: Points) -> list[Point[Run]]:
    found = [point for point in known(points) if point.each_seed(correlations)]
    if not found:
        raise NotRun("at no point have three epochs been analysed")
    return found


def _seeds_words(points: Points) -> str:
    return ", mean over the seeds, ±1 std shaded" if any(point.run.members for point in points) else ""
