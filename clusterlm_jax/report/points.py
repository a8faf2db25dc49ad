"""The points of a comparison: work directories side by side, each with its name and its seeds."""

from __future__ import annotations

import dataclasses
import math
import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from clusterlm_jax.records import UserError
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.style import CATEGORIES
from clusterlm_jax.report.tables import Value, shown

LINESTYLES = ("-", "--", ":", "-.")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Point:
    """A work directory of a comparison.

    Attributes:
      name: of the point.
      run: the mean of its seeds; None where there is nothing to show yet, and `missing` says why.
      address: of its own page, relative to the comparison's; empty where there is none.
      line: how it is drawn.
    """

    name: str
    run: Run | None
    missing: str
    address: str
    line: Mapping[str, str]

    def each_seed(self, measure: Callable[[Run], T]) -> list[T]:
        """A measure of every seed; nothing where it is not run."""
        try:
            return [measure(run) for run in self.run.each_seed] if self.run else []
        except NotRun:
            return []

    @property
    def words(self) -> str:
        """How far it has come."""
        if self.run is None:
            return f"not run: {self.missing}"
        trained = max(epoch for curve in self.run.metrics.values() for epoch in curve)
        seeds = f"seed{'s' if self.run.members else ''} {', '.join(map(str, self.run.seeds))}"
        return f"{trained} of {self.epochs} epochs, {seeds}"

    @property
    def epochs(self) -> int:
        """Of the whole training, as far as the work directory says."""
        trained = max(epoch for curve in self.run.metrics.values() for epoch in curve)
        return self.run.config.get("train", {}).get("epochs", trained)


def read_points(directories: Mapping[str, Path], into: Path) -> tuple[Point, ...]:
    """The points of a comparison whose page is in `into`; a run that is not there or damaged is not run."""
    return tuple(_read(name, directory, into, index) for index, (name, directory) in enumerate(directories.items()))


def _read(name: str, directory: Path, into: Path, index: int) -> Point:
    again, colour = divmod(index, len(CATEGORIES))
    line = {"color": CATEGORIES[colour], "linestyle": LINESTYLES[again % len(LINESTYLES)]}
    address = address_of(directory, into)
    try:
        run = mean_run(read_runs(directory)) if directory.is_dir() else None
    except UserError as error:
        return Point(name, None, str(error), address, line)
    if run is None or not run.metrics:
        return Point(name, None, "nothing has been trained yet", address, line)
    return Point(name, run, "", address, line)


def address_of(directory: Path, into: Path) -> str:
    """The address of a work directory's own page, relative to a comparison's; empty where there is none."""
    page = directory / "report.html"
    return urllib.parse.quote(os.path.relpath(page, into)) if page.exists() else ""


def trained(points: Sequence[Point]) -> list[Point]:
    """The points that have something to show.

    Raises:
      NotRun: there is none.
    """
    found = [point for point in points if point.run is not None]
    if not found:
        raise NotRun("no point has been trained yet")
    return found


def mean_curve(curves: Sequence[Curve]) -> tuple[Curve, Curve]:
    """Mean over the seeds, where all have a value, and sample standard deviation, empty for one seed."""
    epochs = sorted(set.intersection(*map(set, curves))) if curves else []
    value_SE = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
    if not epochs:
        return {}, {}
    deviation_E = value_SE.std(axis=0, ddof=1) if len(curves) > 1 else ()
    return dict(zip(epochs, value_SE.mean(axis=0), strict=True)), dict(zip(epochs, deviation_E, strict=False))


def over_seeds(values: Sequence[float | None]) -> Value:
    """What a table shows of the seeds' values: the one they have, or mean and sample standard deviation."""
    if not values or None in values:
        return None
    if len(set(values)) == 1:
        return values[0]
    if not all(map(math.isfinite, values)):  # some seed never came so far
        return ", ".join(map(shown, values))
    return f"{shown(float(np.mean(values)))} ± {shown(float(np.std(values, ddof=1)))}"
