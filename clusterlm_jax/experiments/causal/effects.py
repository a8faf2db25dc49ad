"""The rows of the causal tests, and how a page sees them: shares by test, kind, amount and layer.

A row of `effects.jsonl` has `seed, test, kind, amount, draw, layer`, and the shares `own` and `other`: how often the
answer is the instance's own output, and how often that of the other task of its pair.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clusterlm_jax.files import read_jsonl
from clusterlm_jax.records import layer_names
from clusterlm_jax.report.reading import read_files
from clusterlm_jax.report.run import NotRun

ROWS = "effects.jsonl"
SWAP, MOVE, REMOVE, COMES_FROM, PROBE = "swap", "move", "remove", "comes_from", "probe"
OTHER_TASK, SAME_TASK = DONORS = ("other_task", "same_task")
TASK, CONTROL = "task", "control"
# Endings of a kind: what was found in the states of the pair's input symbol alone, or of all others but it.
GIVEN_INPUT, OTHER_INPUTS = ENDINGS = ("_given_input", "_other_inputs")
RANDOM = "random"  # the null of Move and Remove
RESIDUAL = "residual"  # means of states without their input symbol's mean
SPACES = (TASK, TASK + GIVEN_INPUT, "input")  # whose between-means directions are removed

WORDS = {
    SWAP: {OTHER_TASK: "another task's state", SAME_TASK: "the same task's state (null)"},
    COMES_FROM: {OTHER_TASK: "another task's symbols", SAME_TASK: "the same task's symbols (null)"},
    MOVE: {
        "means": "difference of task means",
        RESIDUAL: "difference of task means, input's mean removed",
        "centroids": "difference of KMeans centroids",
        "probe": "difference of probe weights",
        RANDOM: "random direction (null)",
    },
    REMOVE: {
        TASK: "space of the task means",
        TASK + GIVEN_INPUT: "of the task means, given the input",
        "input": "space of the input means",
        RANDOM: "random space (null)",
    },
    PROBE: {TASK: "probe across distributions", CONTROL: "its control task (null)"},
}
NOTHING = (
    "Nothing can be concluded: no two instances of different tasks have the same input and are both answered right, so "
    "there is nothing to swap or to move."
)
OUTCOMES = {"other": "the other task's output", "own": "its own output", "else": "something else"}


class Measured(NamedTuple):
    """What a measurement is of.

    Attributes:
      amount: the strength of a move, the rank of what is removed, how many symbols are swapped; else 1.
      draw: of a random direction or space; else 0.
    """

    test: str
    kind: str
    amount: float
    draw: int


class Key(NamedTuple):
    """What a share is of; the draws of a null are averaged."""

    test: str
    kind: str
    amount: float
    layer: str
    outcome: str


@dataclasses.dataclass(frozen=True, eq=False)
class Effects:
    """The effects in one seed of a run, or in several.

    Attributes:
      name: of the work directory.
      seeds: of the run under test.
      shares: of the only seed; empty for several.
      facts, config, environment: `run.json`, `config.json`, `env.json`.
      seconds: wall time by stage.
      members: the seeds, where there are several.
    """

    name: str
    seeds: tuple[int, ...]
    shares: Mapping[Key, float]
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    members: tuple[Effects, ...] = ()

    @property
    def each_seed(self) -> tuple[Effects, ...]:
        return self.members or (self,)

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Every layer of the model; raises `NotRun` before the model is known."""
        if "model" not in self.facts:
            raise NotRun("no test has begun")
        return layer_names(self.facts["model"]["layers"])

    @property
    def blocks(self) -> tuple[str, ...]:
        return self.layers[1:-1]

    def of_seed(self, seed: int) -> Mapping[str, Any]:
        """What `run.json` says of a seed."""
        return self.facts.get("seeds", {}).get(str(seed), {})

    def kinds(self, test: str) -> tuple[str, ...]:
        """What was measured of a test, in the order of its words."""
        found = {key.kind for seed in self.each_seed for key in seed.shares if key.test == test}
        every = dict.fromkeys(kind + ending for kind in WORDS[test] for ending in ("", *ENDINGS))
        return tuple(kind for kind in every if kind in found)

    def amounts(self, test: str, kind: str) -> tuple[float, ...]:
        """The strengths, ranks or numbers of symbols that were measured, ascending."""
        found = {key.amount for seed in self.each_seed for key in seed.shares if key[:2] == (test, kind)}
        if not found:
            raise NotRun(f"{test.replace('_', ' ')} has not been measured ({kind.replace('_', ' ')})")
        return tuple(sorted(found))

    def values(self, test: str, kind: str, layer: str, amount: float = 1, outcome: str = "other") -> list[float | None]:
        """A share in every seed; None where it was not measured."""
        key = Key(test, kind, amount, layer, outcome)
        return [seed.shares.get(key) for seed in self.each_seed]

    def value(self, test: str, kind: str, layer: str, amount: float = 1, outcome: str = "other") -> float:
        """A share; of several seeds, their mean."""
        values = self.values(test, kind, layer, amount, outcome)
        if None in values:
            self.amounts(test, kind)
            raise NotRun(f"{test.replace('_', ' ')} has not been measured in every seed")
        return float(np.mean(values))

    def best(self, test: str, kind: str, layers: Sequence[str], outcome: str = "other") -> tuple[float, str, float]:
        """The largest share over these layers and all amounts, and where: share, layer, amount."""
        places = itertools.product(layers, self.amounts(test, kind))
        return max(((self.value(test, kind, at, n, outcome), at, n) for at, n in places), key=lambda found: found[0])


def read_effects(workdir: Path) -> Effects:
    """The effects in a work directory, as far as they were measured.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    files = read_files(workdir)
    shared = {name: files[name] for name in ("name", "facts", "config", "environment", "seconds")}
    found: dict[int, dict[Key, list[float]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in read_jsonl(workdir / ROWS):
        shares = {name: row[name] for name in ("own", "other") if row.get(name) is not None}
        if len(shares) == 2:
            shares["else"] = 1 - shares["own"] - shares["other"]
        for outcome, share in shares.items():
            key = Key(row["test"], row["kind"], row["amount"], row["layer"], outcome)
            found[row["seed"]][key].append(share)
    members = tuple(
        Effects(seeds=(seed,), shares={key: float(np.mean(draws)) for key, draws in found[seed].items()}, **shared)
        for seed in sorted(found) or (0,)
    )
    if len(members) == 1:
        return members[0]
    return Effects(seeds=tuple(sorted(found)), shares={}, members=members, **shared)


def kind_words(test: str, kind: str) -> str:
    """`means_given_input` -> `difference of task means, given the input`."""
    if kind in WORDS[test]:
        return WORDS[test][kind]
    base, ending = parts(kind)
    return f"{WORDS[test][base]}, {'given the input' if ending == GIVEN_INPUT else 'from other inputs'}"


def parts(kind: str) -> tuple[str, str]:
    """`means_given_input` -> (`means`, `_given_input`); without an ending, that is empty."""
    ending = next((ending for ending in ENDINGS if kind.endswith(ending)), "")
    return kind.removesuffix(ending), ending
