"""A grid of configurations: each point an ordinary run in a directory of its own, and one comparison of them all.

    WORKDIR/hidden_dim=32,epochs=500/    a work directory, as a single run leaves it
    WORKDIR/hidden_dim=256/
    WORKDIR/figures/ tables/ report.html the comparison

Several machines may work on one grid in a directory they share: each takes the points that no other holds.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from clusterlm_jax.experiments import single
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import WorkDir

PATIENCE = 120  # seconds to wait while another process draws the comparison


def run(points: Mapping[str, Settings], shared: dict[str, Any], workdir: WorkDir) -> None:
    """Runs point after point and compares those so far; a finished point is passed over by the ordinary resume.

    Args:
      points: by name, which is also that of its directory; at least one.
      shared: what `config.json` says of the grid; points may be added to it later.
      workdir: of the grid.

    Raises:
      UserError: after the others have run, naming the points that failed.
    """
    with _turn(workdir):
        workdir.claim(shared)
    directories = {name: workdir.root / name for name in points}
    failed = []
    for number, (name, config) in enumerate(points.items(), start=1):
        print(f"Point {number} of {len(points)}: {name}")
        try:
            single.run(config, WorkDir(directories[name]))
        except UserError as error:
            if _held_by_another(error):
                print(f"{error} The point is left to it.")
            else:
                failed.append(name)
                print(f"clusterlm_jax: the point {name} failed: {error}", file=sys.stderr)
        jax.clear_caches()  # no other point has these shapes
        if "report" in config.stages:
            with _turn(workdir):
                page = single.module_of(config).compare(directories, workdir.root, config.report)
            print(f"The comparison so far is at {page}")
    if failed:
        raise UserError(f"{len(failed)} of {len(points)} points failed: {'; '.join(failed)}.")


@contextlib.contextmanager
def _turn(workdir: WorkDir) -> Iterator[None]:
    """Holds the grid's directory, which other processes hold for moments only."""
    with contextlib.ExitStack() as held:
        for waited in range(PATIENCE + 1):
            try:
                held.enter_context(workdir.locked())
                break
            except UserError as error:
                if not _held_by_another(error) or waited == PATIENCE:
                    raise
                time.sleep(1)
        yield


def _held_by_another(error: UserError) -> bool:
    """Whether a directory could not be taken because another process works in it."""
    return isinstance(error.__cause__, BlockingIOError)
