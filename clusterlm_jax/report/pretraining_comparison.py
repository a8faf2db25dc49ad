"""Several runs of the three starts side by side, as a grid writes them after every point (paper 4.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from clusterlm_jax.records import UserError
from clusterlm_jax.report import claims, style
from clusterlm_jax.report.comparison import verdict_of
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.points import address_of
from clusterlm_jax.report.pretraining_claims import CLAIMS
from clusterlm_jax.report.pretraining_figures import draw_accuracies, start_handles
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.starts import MEASURES, STARTS, Starts, last_epoch, of_each_seed, read_starts, together
from clusterlm_jax.report.tables import Table, TableEntry

COLUMNS = 2


class Point(NamedTuple):
    """A work directory of the comparison; without `starts` where nothing is trained, and `words` say why."""

    name: str
    starts: Starts | None
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
        question="Does it help to learn task identities first?",
    )


def _read(name: str, directory: Path, into: Path) -> Point:
    address = address_of(directory, into)
    try:
        starts = read_starts(directory)
    except UserError as error:
        return Point(name, None, f"not run: {error}", address)
    epochs = {start: last_epoch(starts.fine_tuning(start)) for start in STARTS}
    if max(epochs.values()) < 0:
        return Point(name, None, "not run: no fine-tuning has begun", address)
    done = ", ".join(f"{words} {max(epochs[start], 0)}" for start, words in STARTS.items())
    return Point(name, starts, f"epochs of fine-tuning: {done}; seeds {', '.join(map(str, starts.seeds))}", address)


def _figure(points: Sequence[Point]) -> Figure:
    """Figure 5b of every point."""
    shown = _trained(points)
    figure, axes = style.grid(
        math.ceil(len(shown) / COLUMNS), COLUMNS, "Fine-tuning from three starts, validation", panel=(2.9, 1.5), gap=0.6
    )
    for axis, point in zip(axes.flat, shown, strict=False):
        axis.set_title(point.name, loc="left")
        draw_accuracies(axis, point.starts)
        axis.set_ylabel("task accuracy")
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("epoch of fine-tuning")
    style.legend(figure, [*start_handles(), *style.seeds_handle(shown[0].starts.clusters)])
    return figure


def _measures(points: Sequence[Point]) -> Table:
    shown = _trained(points)
    rows = (
        (
            name,
            words,
            [together(of_each_seed(point.starts, lambda s, m=m, start=start: m(s, start))) for point in shown],
        )
        for name, m in MEASURES.items()
        for start, words in STARTS.items()
    )
    return _table(("of fine-tuning", "start"), shown, rows)


def _claims(points: Sequence[Point]) -> Table:
    shown = _trained(points)
    judged = [claims.judge(point.starts, CLAIMS) for point in shown]
    rows = (
        (claim.paper, claim.where, [verdict_of(judgement) for judgement in judgements])
        for claim, *judgements in zip(CLAIMS, *judged, strict=True)
    )
    return _table(("the paper says", "where"), shown, rows)


def _table(head: tuple[str, str], points: Sequence[Point], rows: Iterable[tuple[str, str, list[Any]]]) -> Table:
    """A column for every point."""
    return Table((*head, *(point.name for point in points)), tuple((*names, *values) for *names, values in rows))


def _trained(points: Sequence[Point]) -> list[Point]:
    found = [point for point in points if point.starts is not None]
    if not found:
        raise NotRun("no point has come to a fine-tuning yet")
    return found


FIGURES = (
    FigureEntry(
        "figure_5b",
        "Validation accuracy over fine-tuning (figure 5b)",
        "Within a seed, data, initial values and order of the instances are the same for all starts. Dotted: the "
        "accuracies whose epochs the table gives.",
        lambda points, spec: _figure(points),
    ),
)
TABLES = (
    TableEntry("table_claims", "The paper's claims", "By the rules printed on each run's own page.", _claims),
    TableEntry(
        "table_starts",
        "How soon and how far",
        "Of several seeds the mean ± sample standard deviation; never: that accuracy was not reached.",
        _measures,
    ),
)
