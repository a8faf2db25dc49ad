"""The command line of every benchmark: `--help`, and one sentence where something is wrong."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

from clusterlm_jax.records import UserError


class Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Descriptions as they are written, and the default of every argument."""


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The parser of `benchmarks.NAME`, still without arguments."""
    program = f".venv/bin/python -m benchmarks.{name}"
    return argparse.ArgumentParser(prog=program, description=description, formatter_class=Formatter)


def run(measure: Callable[..., None], parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Measures with what was given, by name; ends with exit code 2 and one sentence where that is refused."""
    given = parser.parse_args(arguments)
    try:
        measure(**vars(given))
    except UserError as error:
        parser.error(str(error))


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return number
