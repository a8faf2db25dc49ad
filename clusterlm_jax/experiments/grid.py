"""A grid of configurations: each point is an ordinary run in its own directory, and one page compares all of them.

    WORKDIR/hidden_dim=32,epochs=500/     a work directory, as a single run leaves it
    WORKDIR/hidden_dim=256/
    WORKDIR/figures/ tables/ report.html  the comparison

Several machines may run one grid in a directory that they share. Each machine takes the points that no other holds.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from clusterlm_jax import experiments
from clusterlm_jax.experiments import stages
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import Busy, WorkDir

PATIENCE = 120  # seconds to wait for the grid's directory: another process holds it while it draws the comparison


def run(points: Mapping[str, Settings], shared: dict[str, Any], workdir: WorkDir) -> None:
    """Runs point after point, and after each compares the points so far. A finished point has nothing left to do.

    Args:
      points: by name, which is also the name of its directory; at least one.
      shared: what `config.json` of the grid says (`config.shared`).
      workdir: of the grid.

    Raises:
      UserError: points failed; it names them after all others have run.
    """
    with workdir.undone_if_refused():
        with _turn(workdir):
            workdir.claim(shared)
        directories = {name: workdir.root / name for name in points}
        failed = []
        for number, (name, config) in enumerate(points.items(), start=1):
            print(f"Point {number} of {len(points)}: {name}")
            try:
                stages.run(config, WorkDir(directories[name]))
            except Busy as error:
                print(f"{error} The point is left to it.")
            except UserError as error:
                failed.append(name)
                print(f"clusterlm_jax: the point {name} failed: {error}", file=sys.stderr)
            jax.clear_caches()  # another point has other shapes, so what was compiled for this one only takes memory
            if "report" in config.stages and directories[name].exists():
                with _turn(workdir):
                    page = experiments.part(config.experiment, "page").compare(directories, workdir.root, config.report)
                print(f"The comparison so far is at {page}")
        if failed:
            raise UserError(f"{len(failed)} of {len(points)} points failed: {'; '.join(failed)}.")


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
