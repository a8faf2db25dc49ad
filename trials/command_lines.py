"""Command lines of keys and odd values, through the real program in this process, but never further than its checks."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from clusterlm_jax import main
from clusterlm_jax.experiments import stages
from clusterlm_jax.records import UserError
from tests.test_wrong_invocations import CONFIGS, MEMBERS, PAGES, VALUES, types_of
from trials import odd

EVERY_PAGE = PAGES | {name: CONFIGS / f"{name}.py" for name in ("states", "causal")}
KEYS = {experiment: list(types_of(experiment)) for experiment in EVERY_PAGE}
PLAUSIBLE = {int: ("0", "1", "2", "8", "64"), float: ("0.0", "0.1", "1", "3.0"), bool: ("True", "0"), str: ("1",)}
STRAY = (
    "train",
    "--epochs=3",
    "-",
    "--",
    "---",
    "=",
    "--=",
    "--config",
    "--workdir",
    "--grid=1",
    "--config.",
    "--config.a.b.c=1",
)
GRIDS = (
    "({'train.epochs': [1, 2]},)",
    "([{'model.hidden_dim': 8}, {'seeds': (1,)}],)",
    "({'model.heads': [None]},)",
    "([{'name': '../up', 'model.layers': 1}],)",
    "({'seeds': [(0,), 3]},)",
    "([{}],)",
    "(3,)",
    "({1: [2]},)",
)


class Accepted(Exception):
    """The program would begin to work now."""


def _stop(*_: Any) -> None:
    raise Accepted


def value_of(kind: type, member: type | None, rng: random.Random) -> str:
    """A text for a key of a type: known to be wrong, plausible, or odd."""
    wrong = [value for values in VALUES.get(kind, {}).values() for value in values]
    plausible = PLAUSIBLE.get(kind, ())
    if member is not None:
        wrong = [f"({value},)" for value in MEMBERS.get(member, MEMBERS[int])]
        plausible = [f"({value},)" for value in PLAUSIBLE[member]]
    (chosen,) = rng.choices([wrong, plausible, odd.TEXTS], weights=[1, 3, 1])
    return rng.choice(chosen or odd.TEXTS)


def draw(rng: random.Random, folder: Path) -> list[str]:
    """A command line with one to four odd flags."""
    experiment = rng.choice(sorted(EVERY_PAGE))
    given = [f"--config={EVERY_PAGE[experiment]}", f"--workdir={folder / 'run'}"]
    for _ in range(rng.randint(1, 4)):
        what = rng.random()
        if what < 0.8:
            key, kind, member = rng.choice(KEYS[experiment])
            given.append(f"--config.{key}={value_of(kind, member, rng)}")
        elif what < 0.85:
            given.append(f"--config.grid={rng.choice(GRIDS)}")
        elif what < 0.9:
            given[1] = f"--workdir={folder / rng.choice(odd.TEXTS).replace('/', '-').replace('..', '-')}"
        elif what < 0.95:
            given.insert(rng.randrange(len(given)), rng.choice(STRAY))
        else:
            given[0] = (
                f"--config={rng.choice((f'{EVERY_PAGE[experiment]}:{rng.choice(odd.TEXTS)}', rng.choice(odd.TEXTS)))}"
            )
    return given


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and directory there, except locks, which have no content."""
    paths = (path for path in folder.rglob("*") if path.name != ".lock")
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def run(folder: Path, argv: list[str], work: Callable[..., Any] = _stop) -> None:
    """Runs the program, unless `work` is given only up to where its stages would begin.

    Args:
      folder: where nothing may change if it refuses.

    Raises:
      UserError: it refused, in these words.
    """
    told, before = io.StringIO(), contents(folder)
    with (
        mock.patch.object(stages, "Work", work),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(told),
    ):
        try:
            code = main.main(["main", *argv])
        except Accepted:
            return
    sentence = told.getvalue()
    if code:
        if code != 2 or not sentence.startswith("clusterlm_jax: "):
            raise AssertionError(f"{argv} ended with {code}: {sentence}")
        changed = {path for path, _ in before.items() ^ contents(folder).items()}
        if changed:
            raise AssertionError(f"{argv} changed {changed} and was refused: {sentence}")
        raise UserError(sentence.removeprefix("clusterlm_jax: ").removesuffix("\n"))


def case(rng: random.Random, folder: Path) -> None:
    run(folder, draw(rng, folder))
