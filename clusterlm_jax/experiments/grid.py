"""A grid of configurations: each point is an ordinary run in its own directory, and one page compares all of them.

    WORKDIR/hidden_dim=32,epochs=500/     a work directory, as a single run leaves it
    WORKDIR/hidden_dim=256/
    WORKDIR/figures/ tables/ report.html  the comparison

Several machines may run one grid in a directory that they share. Each machine takes the points that no other holds.
With `eval.scheduler` the points are run by the workers of a Dask cluster instead, each on a machine of its own.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from clusterlm_jax import experiments
from clusterlm_jax.analysis.executors.dask import connect
from clusterlm_jax.experiments import stages
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import Busy, WorkDir

PATIENCE = 120  # seconds to wait for the grid's directory: another process holds it while it draws the comparison


def run(
    points: Mapping[str, Settings],
    shared: dict[str, Any],
    workdir: WorkDir,
    commands: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Runs the points, and after each compares those so far. A finished point has nothing left to do.

    Args:
      points: by name, which is also the name of its directory; at least one.
      shared: what `config.json` of the grid says (`config.shared`).
      workdir: of the grid.
      commands: the flags of the main program for each point alone, which a Dask cluster needs.

    Raises:
      UserError: points failed; it names them after all others have run.
    """
    with workdir.undone_if_refused():
        with _turn(workdir):
            workdir.claim(shared)
        directories = {name: workdir.root / name for name in points}
        scheduler, failed = next(iter(points.values())).eval.scheduler, []
        ended = _in_cluster(scheduler, commands, workdir) if scheduler else _here(points, directories)
        for name, error in ended:
            if isinstance(error, Busy):
                print(f"{error} The point {name} is left to it.")
            elif error is not None:
                failed.append(name)
                print(f"clusterlm_jax: the point {name} failed: {error}", file=sys.stderr)
            config = points[name]
            if "report" in config.stages and directories[name].exists():
                with _turn(workdir):
                    page = experiments.part(config.experiment, "page").compare(directories, workdir.root, config.report)
                print(f"The comparison so far is at {page}")
        if failed:
            raise UserError(f"{len(failed)} of {len(points)} points failed: {'; '.join(failed)}.")


def _here(points: Mapping[str, Settings], directories: Mapping[str, Path]) -> Iterator[tuple[str, UserError | None]]:
    """Runs point after point, and yields each with what went wrong."""
    for number, (name, config) in enumerate(points.items(), start=1):
        print(f"Point {number} of {len(points)}: {name}")
        error = None
        try:
            stages.run(config, WorkDir(directories[name]))
        except UserError as refusal:
            error = refusal
        jax.clear_caches()  # another point has other shapes, so what was compiled for this one only takes memory
        yield name, error


def _in_cluster(
    scheduler: str, commands: Mapping[str, Sequence[str]], workdir: WorkDir
) -> Iterator[tuple[str, UserError | None]]:
    """As `_here`, in any order."""
    with connect(scheduler) as client:
        # Here, because it needs Dask; `connect` says so where that is missing.
        from clusterlm_jax.analysis.executors import commands as cluster

        print(f"{len(commands)} points wait for workers of {scheduler}; each prints to {workdir.root}/NAME.log")
        for number, (name, end) in enumerate(cluster.ended(client, commands, workdir.root), start=1):
            print(f"Point {number} of {len(commands)} has ended: {name}")
            yield name, None if end.code == 0 else (Busy if Busy.WORDS in end.told else UserError)(end.told)


@contextlib.contextmanager
def _turn(workdir: WorkDir) -> Iterator[None]:
    """Holds the grid's directory. Other processes hold it only for moments, so this waits for them."""
    with contextlib.ExitStack() as held:
        for waited in range(PATIENCE + 1):
            try:
                held.enter_context(workdir.locked())
                break
            except Busy:
                if waited == PATIENCE:
                    raise
                time.sleep(1)
        yield
