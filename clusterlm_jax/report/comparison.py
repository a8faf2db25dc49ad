"""Several work directories of one experiment side by side: figures, tables, and a page that links to each run's own.

A grid writes it after every point. Any work directories may be compared:

    .venv/bin/python -m clusterlm_jax.experiments.compare DIR DIR ... --into=DIR
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import UserError
from clusterlm_jax.report import drawing
from clusterlm_jax.report.claims import Claim, judge
from clusterlm_jax.report.page import PAPER, FigureEntry, Page, TableEntry, publish
from clusterlm_jax.report.reading import address_of
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, Value, side_by_side

COLUMNS = 2  # panels in a row
LINESTYLES = ("-", "--", ":", "-.")
INTRODUCTION = (
    f"Each run has a page of its own, with its figures, its numbers for every claim of {PAPER}, and the rules of the "
    "verdicts."
)
T = TypeVar("T")
S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class Point(Generic[S]):
    """A work directory of a comparison.

    Attributes:
      name: of the point.
      run: what was read from it, of several seeds their mean; None where there is nothing to show yet.
      words: how far it has come, or why there is nothing.
      address: of its own page, relative to the comparison's; empty where there is none.
      line: how it is drawn.
    """

    name: str
    run: S | None
    words: str
    address: str
    line: Mapping[str, str]

    def each_seed(self, measure: Callable[[S], T]) -> list[T]:
        """A measure of every seed; nothing where it is not run."""
        try:
            return [measure(run) for run in self.run.each_seed] if self.run else []
        except NotRun:
            return []

    @property
    def handle(self) -> Line2D:
        if self.run is None:
            return Line2D([], [], label=f"{self.name} (not run)", linestyle="")
        return Line2D([], [], label=self.name, **self.line)


def read_points(
    read: Callable[[Path], S], progress: Callable[[S], str], directories: Mapping[str, Path], into: Path
) -> tuple[Point[S], ...]:
    """The points of a comparison whose page is in `into`; a directory that is missing or damaged is not run.

    Args:
      read: a work directory -> what is compared.
      progress: how far it has come; raises `NotRun` where there is nothing to show.
    """

    def point(index: int, name: str, directory: Path) -> Point[S]:
        again, colour = divmod(index, len(drawing.CATEGORIES))
        line = {"color": drawing.CATEGORIES[colour], "linestyle": LINESTYLES[again % len(LINESTYLES)]}
        address = address_of(directory, into)
        try:
            run = read(directory)
            return Point(name, run, progress(run), address, line)
        except (UserError, NotRun) as reason:
            return Point(name, None, f"not run: {reason}", address, line)

    return tuple(point(index, *named) for index, named in enumerate(directories.items()))


def known(points: Sequence[Point[S]]) -> list[Point[S]]:
    """The points that have something to show.

    Raises:
      NotRun: there is none.
    """
    found = [point for point in points if point.run is not None]
    if not found:
        raise NotRun("at no point is there anything to show yet")
    return found


def write(
    question: str,
    points: Sequence[Point],
    figures: Sequence[FigureEntry],
    tables: Sequence[TableEntry],
    into: Path,
    spec: ReportSpec,
) -> Path:
    """Writes the page of a comparison, and returns its path."""
    name = into.resolve().name
    page = Page(
        title=f"Comparison of runs: {name}",
        question=f"{question} Runs side by side: {name}",
        introduction=INTRODUCTION,
        facts=[(point.name, point.words, point.address) for point in points],
        several="run",
    )
    return publish(page, points, figures, tables, into, spec, heading=lambda entry: entry.title)


def panels(
    points: Sequence[Point], title: str, draw: Callable[[Axes, Any], None], handles: Sequence[Line2D], **axis: str
) -> Figure:
    """A panel for every point that has something to show."""
    shown = known(points)
    figure, axes = drawing.grid(math.ceil(len(shown) / COLUMNS), COLUMNS, title, panel=(2.9, 1.5), gap=0.6)
    for panel, point in zip(axes.flat, shown, strict=False):
        panel.set_title(point.name, loc="left")
        draw(panel, point.run)
        panel.set(**axis)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    drawing.legend(figure, handles)
    return figure


def table_of(head: Sequence[str], points: Sequence[Point], rows: Iterable[tuple[Sequence, Sequence[Value]]]) -> Table:
    """A column for every one of these points."""
    return side_by_side(head, [point.name for point in points], rows)


def claims_entry(claims: Sequence[Claim]) -> TableEntry:
    """The verdict on every claim at every point."""

    def make(points: Sequence[Point]) -> Table:
        shown = known(points)
        judged = zip(*(judge(claims, point.run) for point in shown), strict=True)
        rows = (((f"{j[0].claim.paper} ({j[0].claim.where})",), [one.words for one in j]) for j in judged)
        return table_of(["the claim"], shown, rows)

    return TableEntry("table_claims", "The claims", "By the rules printed on each run's own page.", make)
