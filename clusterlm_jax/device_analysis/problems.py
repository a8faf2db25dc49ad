"""Problems of one shape, solved side by side by one program.

Shapes cost a compilation each. So KMeans and probes are padded to few sizes (`padded`); t-SNE is not, as its time
grows with the square of its points and the splits of a run have few sizes.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# The largest arrays of problems that are solved side by side take this share of the device's memory: there are several,
# and a training.
SHARE_OF_MEMORY = 1 / 16


class Problem(NamedTuple):
    """A problem that one program solves with others of its shapes.

    Attributes:
      solve: of arrays and settings, a function for jax.
      numbers: how many the largest array in it has.
      finish: what to make of the tuple of arrays that `solve` gives.
    """

    solve: Callable[..., Any]
    arrays: tuple[Any, ...]
    settings: Mapping[str, Any]
    numbers: int
    finish: Callable[..., np.ndarray]

    @property
    def shape(self) -> Hashable:
        return self.solve, tuple(map(np.shape, self.arrays)), tuple(self.settings.items())


def solve(problems: Sequence[Problem]) -> list[np.ndarray]:
    """The solutions of problems: on an accelerator those of one shape side by side, on a CPU one after the other."""
    if jax.default_backend() == "cpu":  # it is busy with one, and would wait for the slowest of several
        programs = [_program(problem.solve, tuple(problem.settings.items())) for problem in problems]
        solved = [program(*problem.arrays) for program, problem in zip(programs, problems, strict=True)]
        return [problem.finish(*map(np.asarray, arrays)) for problem, arrays in zip(problems, solved, strict=True)]
    groups = collections.defaultdict(list)
    for place, problem in enumerate(problems):
        groups[problem.shape].append(place)
    found: dict[int, np.ndarray] = {}
    for places in groups.values():
        most = max(1, _numbers_at_once() // problems[places[0]].numbers)
        for start in range(0, len(places), most):
            some = places[start : start + most]
            found |= zip(some, _side_by_side([problems[place] for place in some]), strict=True)
    return [found[place] for place in range(len(problems))]


def _numbers_at_once() -> int:
    told = jax.devices()[0].memory_stats() or {}
    return int(told.get("bytes_limit", 2**33) * SHARE_OF_MEMORY) // 4  # of float32


def _side_by_side(problems: Sequence[Problem]) -> list[np.ndarray]:
    first = problems[0]
    program = _program(first.solve, tuple(first.settings.items()), side_by_side=True)
    stacked = [jnp.stack(arrays) for arrays in zip(*(problem.arrays for problem in problems), strict=True)]
    solved = zip(*map(np.asarray, program(*stacked)), strict=True)
    return [problem.finish(*arrays) for problem, arrays in zip(problems, solved, strict=True)]


@functools.cache
def _program(
    function: Callable[..., Any], settings: tuple[tuple[str, Any], ...], side_by_side: bool = False
) -> Callable[..., Any]:
    function = functools.partial(function, **dict(settings))
    return jax.jit(jax.vmap(function) if side_by_side else function)


def padded(size: int) -> int:
    """The next of the sizes 1, 2, 3, 4, 6, 8, 12, 16, 24...: at most half as much again, and few of them."""
    power = 1 << max(size - 1, 0).bit_length()
    return power * 3 // 4 if size <= power * 3 // 4 else power


def filled(array: np.ndarray, size: int) -> np.ndarray:
    """An array with zeros after its end, so that its first axis has a size."""
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])
