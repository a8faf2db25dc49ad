"""Several alignment runs side by side, as a grid writes them after every point (paper F.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from clusterlm_jax.records import UserError
from clusterlm_jax.report import claims, style
from clusterlm_jax.report.alignment_claims import CLAIMS
from clusterlm_jax.report.alignment_figures import draw_four, four_handles
from clusterlm_jax.report.comparison import verdict_of
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.methods import METRICS, PAPER, Methods, method_words, read_methods
from clusterlm_jax.report.points import address_of, over_seeds
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, TableEntry

COLUMNS = 2


class Point(NamedTuple):
    """A work directory of the comparison; without `methods` where none is measured, and `words` say why."""

    name: str
    methods: Methods | None
    words: str
    address: str


def write(directories: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Compares the runs of work directories, by name, as far as each has come; returns the path of the page."""
    points = tuple(_read(name, directory, into) for name, directory in directories.items())
    return publish(
        into,
        "comparison.html",
        points,
        FIGURES,
        TABLES,
        spec,
        name=into.resolve().name,
        points=points,
        question="Can a few tasks change their outputs while the others stay?",
    )


def _read(name: str, directory: Path, into: Path) -> Point:
    address = address_of(directory, into)
    try:
        methods = read_methods(directory)
    except UserError as error:
        return Point(name, None, f"not run: {error}", address)
    if not methods.complete:
        return Point(name, None, "not run: the methods have not been measured", address)
    return Point(name, methods, f"seeds {', '.join(map(str, methods.seeds))}", address)


def _figure(points: Sequence[Point]) -> Figure:
    """The drops of every point."""
    shown = _measured(points)
    rows = math.ceil(len(shown) / COLUMNS)
    figure, axes = style.grid(rows, COLUMNS, "Four methods to update the source tasks", panel=(2.9, 1.5), gap=0.6)
    for panel, point in zip(axes.flat, shown, strict=False):
        panel.set_title(point.name, loc="left")
        draw_four(panel, point.methods, "accuracy_drop")
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    style.legend(figure, four_handles())
    return figure


def _methods(points: Sequence[Point]) -> Table:
    shown = _measured(points)
    rows = (
        (
            METRICS[metric],
            method_words(kind),
            *(over_seeds(p.methods.values(p.methods.four[kind], metric)) for p in shown),
        )
        for metric in ("source_accuracy", "accuracy_drop")
        for kind in PAPER
    )
    return Table(("of the validation tasks", "method", *(point.name for point in shown)), tuple(rows))


def _claims(points: Sequence[Point]) -> Table:
    shown = _measured(points)
    judged = [map(verdict_of, claims.judge(point.methods, CLAIMS)) for point in shown]
    rows = ((claim.paper, claim.where, *verdicts) for claim, *verdicts in zip(CLAIMS, *judged, strict=True))
    return Table(("the paper says", "where", *(point.name for point in shown)), tuple(rows))


def _measured(points: Sequence[Point]) -> list[Point]:
    found = [point for point in points if point.methods is not None]
    if not found:
        raise NotRun("no point has measured its methods yet")
    return found


FIGURES = (
    FigureEntry(
        "figure_11",
        "What each method forgets (table 11)",
        "Accuracy that the other validation tasks lose; below 0 they gain.",
        lambda points, spec: _figure(points),
    ),
)
TABLES = (
    TableEntry("table_claims", "The paper's claims", "By the rules printed on each run's own page.", _claims),
    TableEntry("table_11", "Table 11", "Of several seeds the mean ± sample standard deviation.", _methods),
)
