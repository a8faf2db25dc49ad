"""Puts any runs of one experiment on one page, as a grid does after every point:

.venv/bin/python -m clusterlm_jax.experiments.compare DIR DIR ... --into=DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax import experiments
from clusterlm_jax.files import read_json
from clusterlm_jax.records import UserError, check_local
from clusterlm_jax.report.reading import name_of
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.workdir import WorkDir


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog=".venv/bin/python -m clusterlm_jax.experiments.compare", description=__doc__)
    parser.add_argument("directories", nargs="+", metavar="DIR", help="work directories to compare")
    parser.add_argument("--into", required=True, metavar="DIR", help="where to write")
    given = parser.parse_args(arguments)
    try:
        check_local("--into", given.into)
        for directory in given.directories:
            check_local("DIR", directory)
        print(f"The comparison is at {compare([*map(Path, given.directories)], Path(given.into))}")
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    return 0


def compare(directories: Sequence[Path], into: Path) -> Path:
    """Writes the page of several runs side by side, and returns its path.

    Raises:
      UserError: a directory is no work directory, they are of several experiments, or `into` cannot be written or is a
        work directory, which has a page of its own.
    """
    configs = {directory: read_json(directory / "config.json") for directory in directories}
    kinds = {directory: config.get("experiment") for directory, config in configs.items()}
    for directory, kind in kinds.items():
        if kind not in experiments.names():
            raise UserError(f"There is no work directory {directory}.")
        if configs[directory].get("grid"):
            raise UserError(f"{directory} holds a grid; only runs can be compared, such as the points in it.")
    if len(set(kinds.values())) > 1:
        words = ", ".join(f"{directory} is {kind}" for directory, kind in kinds.items())
        raise UserError(f"Only runs of one experiment can be compared: {words}.")
    if (into / "config.json").exists():
        raise UserError(f"--into is {into}, a work directory with a page of its own; it must be another directory.")
    names = [name_of(directory) for directory in directories]
    if len(set(names)) < len(names):
        names = [str(directory) for directory in directories]
    page = experiments.part(kinds[directories[0]], "page")
    with WorkDir(into).locked():
        return page.compare(dict(zip(names, directories, strict=True)), into, ReportSpec())


if __name__ == "__main__":
    sys.exit(main())
