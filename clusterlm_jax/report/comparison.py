"""Several work directories side by side: figures, tables, and one page that links to each run's own.

A grid writes it after every point. For any work directories:

    python -m clusterlm_jax.report.comparison DIR DIR ... --into=DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import UserError
from clusterlm_jax.report import claims, effects, style
from clusterlm_jax.report.correlation import PERFORMANCES, correlations
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.measures import STRONG
from clusterlm_jax.report.points import Point, mean_curve, over_seeds, read_points, trained
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.summary import WORDS, summary
from clusterlm_jax.report.tables import Table, TableEntry
from clusterlm_jax.report.words import INPUT_REMOVED, SCORE_WORDS, SPACES

SPLIT = "validation"


class Panel(NamedTuple):
    """A panel of the figure over training, and what it shows of one seed: a curve, empty or `NotRun` where not run."""

    title: str
    unit: str
    curve: Callable[[Run], Curve]


PANELS = (
    Panel("(a) validation accuracy", "task accuracy", lambda run: run.metrics.get("validation_accuracy", {})),
    Panel("(b) task clusters, best block", "task F1", lambda run: run.over_blocks(max, "f1", "task", SPLIT)),
    Panel(
        "(c) without the input symbol, mean of the blocks",
        "task F1",
        lambda run: run.over_blocks(np.mean, "f1", "task", SPLIT, INPUT_REMOVED),
    ),
    Panel(
        "(d) neighbours with the same task, top block",
        "share of the neighbours",
        lambda run: run.curve("knn_percentage", "task", SPLIT, run.top),
    ),
)


def write(directories: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Compares the runs of work directories, as far as each has come; writes `figures/`, `tables/` and `report.html`.

    Args:
      directories: by name, in the order to show them.
      into: where to write.
      spec: the formats of the figures.

    Returns:
      The path of the page.
    """
    points = read_points(directories, into)
    settings = (SETTINGS,) if effects.varied(points) else ()
    of_a_design = effects.entries(points)
    figures, tables = (*FIGURES, *of_a_design[0]), (*settings, *TABLES, *of_a_design[1])
    return publish(into, "comparison.html", points, figures, tables, spec, name=into.resolve().name, points=points)


def figure_training(points: Sequence[Point]) -> Figure:
    """Accuracy, task clusters and neighbours over training, a line per point."""
    shown = trained(points)
    in_shares = len({point.epochs for point in shown}) > 1
    title = "Side by side over training, validation" + _seeds_words(shown)
    figure, axes = style.grid(2, 2, title, panel=(2.9, 1.5), gap=0.6)
    for axis, panel in zip(axes.flat, PANELS, strict=True):
        axis.set_title(panel.title, loc="left")
        for point in shown:
            curve, deviation = mean_curve(point.each_seed(panel.curve))
            if in_shares:
                curve = {epoch / point.epochs: value for epoch, value in curve.items()}
            if curve:
                style.draw_curve(axis, curve, deviation, **point.line)
        axis.set(ylim=(-0.03, 1.03), ylabel=panel.unit)
        if not axis.lines:
            style.say_not_run(axis, "at no point yet")
    for axis in axes[-1]:
        axis.set_xlabel("share of training" if in_shares else "epoch")
    style.legend(figure, _handles(points))
    return figure


def figure_correlation(points: Sequence[Point]) -> Figure:
    """Pearson r of performance and task clusters over the relative depth (figure 15), a line per point."""
    shown = _correlated(points)
    title = "Task performance and task clusters, validation" + _seeds_words(shown)
    figure, axes = style.grid(len(PERFORMANCES), len(SCORE_WORDS), title, panel=(2.1, 1.4))
    for row, performance in zip(axes, PERFORMANCES, strict=True):
        row[0].set_ylabel(f"r with {performance}")
        for axis, score in zip(row, SCORE_WORDS, strict=True):
            for point in shown:
                _draw_correlation(axis, point, performance, score)
            axis.axhline(STRONG if performance == "accuracy" else -STRONG, color=".3", linestyle=":", linewidth=1)
            axis.set(xlim=(-0.05, 1.05), ylim=(-1.05, 1.05))
    for axis, words in zip(axes[0], SCORE_WORDS.values(), strict=True):
        axis.set_title(f"task {words}", loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("depth (0: embedding, 1: top block)")
    threshold = Line2D([], [], color=".3", linestyle=":", label=f"the paper's threshold, ±{STRONG}")
    style.legend(figure, [*_handles(points), threshold])
    return figure


def _draw_correlation(axis: Axes, point: Point, performance: str, score: str) -> None:
    layers = point.run.indices
    depths = np.linspace(0, 1, len(layers))
    each = [
        {depth: found[performance, score][layer] for depth, layer in zip(depths, layers, strict=True)}
        for found in point.each_seed(correlations)
    ]
    style.draw_curve(axis, *mean_curve(each), **point.line)


def _settings(points: Sequence[Point]) -> Table:
    """Every key in which the configurations differ: a point may have a name that does not tell."""
    rows = [
        ((key,), {name: str(value) for name, value in values.items()}) for key, values in effects.varied(points).items()
    ]
    return _table(("setting",), rows, points)


def _summary(points: Sequence[Point]) -> Table:
    """Every measure of every point."""
    rows = {"seeds": {}, "epochs": {}, "reducer": {}} | {words: {} for words in WORDS.values()}
    for point in trained(points):
        rows["seeds"][point.name] = len(point.run.seeds)
        rows["epochs"][point.name] = point.epochs
        rows["reducer"][point.name] = next(iter(point.each_seed(lambda run: SPACES[run.reducer])), None)
        each = point.each_seed(summary)
        for measure, words in WORDS.items():
            rows[words][point.name] = over_seeds([values[measure] for values in each])
    return _table(("measure",), [((words,), values) for words, values in rows.items()], points)


def _claims(points: Sequence[Point]) -> Table:
    """The verdict on every claim of the paper at every point."""
    judged = {point.name: map(verdict_of, claims.judge(point.run)) for point in trained(points)}
    rows = [
        ((f"{claim.paper} ({claim.where})",), dict(zip(judged, verdicts, strict=True)))
        for claim, *verdicts in zip(claims.CLAIMS, *judged.values(), strict=True)
    ]
    return _table(("the paper says",), rows, points)


def verdict_of(judgement: claims.Judgement) -> str:
    """With the share of the seeds that say the same, where they do not agree."""
    seeds = list(judgement.by_seed.values())
    same = f" ({seeds.count(claims.SAME)} of {len(seeds)} seeds)" if judgement.verdict == claims.MIXED else ""
    return judgement.verdict + same


def _correlation(points: Sequence[Point]) -> Table:
    """Pearson r in the top block beside the paper's thresholds."""
    each = {point.name: (point.run.top, point.each_seed(correlations)) for point in _correlated(points)}
    rows = []
    for performance in PERFORMANCES:
        for score, words in SCORE_WORDS.items():
            values = {name: [found[performance, score][top] for found in seeds] for name, (top, seeds) in each.items()}
            threshold = f"> {STRONG}" if performance == "accuracy" else f"< -{STRONG}"
            together = over_seeds([value for of_point in values.values() for value in of_point])
            row = {name: over_seeds(of_point) for name, of_point in values.items()}
            rows.append(((f"{performance} and task {words}", threshold, together), row))
    return _table(("Pearson r, top block", "the paper", "all points and seeds"), rows, points)


def _table(head: tuple[str, ...], rows: Sequence[tuple], points: Sequence[Point]) -> Table:
    """A column for every point; rows are (head, values by point)."""
    body = ((*first, *(values.get(point.name) for point in points)) for first, values in rows)
    return Table((*head, *(point.name for point in points)), tuple(body))


def _correlated(points: Sequence[Point]) -> list[Point]:
    found = [point for point in trained(points) if point.each_seed(correlations)]
    if not found:
        raise NotRun("at no point have three epochs been analysed")
    return found


def _seeds_words(points: Sequence[Point]) -> str:
    several = any(point.run.members for point in points)
    return ", mean over the seeds, ±1 std shaded" if several else ""


def _handles(points: Sequence[Point]) -> list[Line2D]:
    return [
        Line2D([], [], label=point.name, **point.line)
        if point.run
        else Line2D([], [], label=f"{point.name} (not run)", linestyle="")
        for point in points
    ]


FIGURES = (
    FigureEntry(
        "figure_training",
        "Side by side over training (figures 7 to 10)",
        "The paper: the clusters and trends of width 768 are seen at 32 and 2048 as well. (b) is of each run's own "
        "reducer, named in the table, and of the best block at every epoch. Where trainings differ in length, the axis "
        "is the share of it.",
        lambda points, spec: figure_training(points),
    ),
    FigureEntry(
        "figure_correlation",
        "Performance and clusters by depth (figure 15)",
        "The paper: r reaches over .6 with accuracy and below -.6 with loss in the top layers. The final norm, which "
        "is no block, is left out.",
        lambda points, spec: figure_correlation(points),
    ),
)
SETTINGS = TableEntry("table_settings", "Settings", "What differs between the configurations of the runs.", _settings)
TABLES = (
    TableEntry(
        "table_claims",
        "The paper's claims",
        "The verdicts by the rules printed on each run's own page, where the numbers behind them are.",
        _claims,
    ),
    TableEntry(
        "table_correlation",
        "Correlation of performance and task clusters",
        "Over the analysed epochs, validation, beside the paper's thresholds; of several values the mean ± sample "
        "standard deviation.",
        _correlation,
    ),
    TableEntry(
        "table_comparison",
        "Measures",
        "Validation unless said otherwise; of several seeds the mean ± sample standard deviation.",
        _summary,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clusterlm_jax.report.comparison", description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="work directories to compare")
    parser.add_argument("--into", required=True, type=Path, metavar="DIR", help="where to write")
    given = parser.parse_args(arguments)
    names = [directory.resolve().name for directory in given.directories]
    if len(set(names)) < len(names):
        names = [str(directory) for directory in given.directories]
    try:
        for directory in given.directories:
            if not directory.is_dir():
                raise UserError(f"There is no work directory {directory}.")
        print(
            f"The comparison is at {write(dict(zip(names, given.directories, strict=True)), given.into, ReportSpec())}"
        )
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
