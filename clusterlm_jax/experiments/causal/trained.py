"""A model under test: its states, what it answers, and the pairs of instances that are compared."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from clusterlm_jax.data import storage
from clusterlm_jax.experiments import phases
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Instances, UserError
from clusterlm_jax.training import patching
from clusterlm_jax.training.patching import Trials
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.workdir import WorkDir

MAIN = "main"


class Pairs(NamedTuple):
    """Instances with the same input symbol, as places in the validation split; the model answers all of them right.

    Attributes:
      own_N: the instance whose states are changed.
      other_N: one of another task, which has another output.
      alike_N: one of the same task, with another instruction; the instance itself where there is none.
    """

    own_N: np.ndarray
    other_N: np.ndarray
    alike_N: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """One seed of a run: the parameters of its best epoch, and its dataset. Or a pretrained model, and its prompts.

    Attributes:
      model: any that `training.patching` takes.
      seed: of the run; of a pretrained model, of what is drawn.
      tokens: of a batch at most.
      tasks: the names of the tasks, in order; empty where they have none.
    """

    model: nn.Module
    params: Any
    dataset: Instances
    seed: int
    tokens: int = patching.TOKENS
    tasks: tuple[str, ...] = ()

    @functools.cached_property
    def training(self) -> dict[str, np.ndarray]:
        """The labels of the training set."""
        return self.dataset.columns(self.dataset.splits["training"])

    @functools.cached_property
    def validation(self) -> dict[str, np.ndarray]:
        """The labels of the validation split."""
        return self.dataset.columns(self.dataset.splits["validation"])

    @functools.cached_property
    def training_LND(self) -> np.ndarray:
        """States of the input token: where directions and spaces come from."""
        return self._states("training")

    @functools.cached_property
    def validation_LND(self) -> np.ndarray:
        """States of the input token: what is patched."""
        return self._states("validation")

    @functools.cached_property
    def right_N(self) -> np.ndarray:
        """Which validation instances the model answers right, bool."""
        index_N = self.dataset.splits["validation"]
        nothing = Trials(index_N, np.full(len(index_N), -1), lambda n: self.validation_LND[0, n][:, None])
        return self.answers(nothing) == self.validation["output"]

    def accuracies(self) -> dict[str, float]:
        """The accuracy on validation of each task that has a name."""
        task_N = self.validation["task"]
        return {name: float(self.right_N[task_N == task].mean()) for task, name in enumerate(self.tasks)}

    def answers(self, trials: Trials) -> np.ndarray:
        """As `patching.answers`."""
        return patching.answers(self.model, self.params, self.dataset, trials, self.tokens)

    def symbol_states(self, index_M: np.ndarray, symbols: int) -> np.ndarray:
        """As `patching.symbol_states`."""
        return patching.symbol_states(self.model, self.params, self.dataset, index_M, symbols, self.tokens)

    def _states(self, split: str) -> np.ndarray:
        return patching.input_states(self.model, self.params, self.dataset, self.dataset.splits[split], self.tokens)


def open_run(directory: Path) -> tuple[Trained, ...]:
    """The models of a finished main run, one for each seed. Nothing in its directory is changed.

    Raises:
      UserError: there is no such run, it is another experiment's, a grid, unfinished, or it cannot be read.
    """
    workdir = WorkDir(directory)
    config = checked_config(workdir)
    try:
        spec = GPT2Spec(**config["model"])
    except TypeError as error:
        raise UserError(f"{directory}/config.json was written by another version ({error}).") from error
    seeds = config["seeds"]
    datasets = {seed: storage.load(workdir.dataset(seed)) for seed in seeds}
    model = GPT2(spec, datasets[seeds[0]].vocabulary.size, untied=not spec.tied)
    # Only the parameters are read, so it does not matter here how they were trained.
    params = phases.best_params(Phase(MAIN, model, TrainSpec(), datasets), workdir)
    return tuple(
        Trained(model, jax.tree.map(lambda leaf, place=place: leaf[place], params), datasets[seed], seed)
        for place, seed in enumerate(seeds)
    )


def checked_config(workdir: WorkDir) -> dict[str, Any]:
    """`config.json` of a finished main run; raises as `open_run`."""
    config = workdir.read_json("config.json")
    if not config:
        raise UserError(f"There is no run in {workdir.root}; config.run must be the work directory of a main run.")
    if config.get("experiment") != "emergence":
        raise UserError(
            f"{workdir.root} is a run of the experiment {config.get('experiment')!r}; config.run must be one of "
            "'emergence', the main one."
        )
    if config.get("grid"):
        raise UserError(f"{workdir.root} is a grid; config.run must be one of the runs in it.")
    last = config["train"]["epochs"]
    done = {row["seed"] for row in workdir.metrics_rows() if row["run"] == MAIN and row["epoch"] == last}
    if missing := set(config["seeds"]) - done:
        raise UserError(
            f"The run in {workdir.root} is not finished: seed {min(missing)} has not reached epoch {last}; the command "
            "that began it resumes it."
        )
    return config


def pairs_of(trained: Trained, donors: int, most: int, rng: np.random.Generator) -> Pairs:
    """The pairs of a model: each right instance, with `donors` right ones of each other task that has its input symbol.

    A task that the training set does not have with this input is left out: no direction leads to it. So are answers
    that begin with the same token. Of more than `most` pairs so many are drawn; of a model that is always wrong there
    are none.
    """
    columns, known = trained.validation, _questions(trained.training)
    right_N = trained.right_N & np.isin(_questions(columns), known)
    found: list[tuple[int, int, int]] = []
    for own in np.flatnonzero(right_N):
        same = {name: columns[name] == columns[name][own] for name in ("task", "input", "output", "instruction")}
        others = np.flatnonzero(right_N & same["input"] & ~same["task"] & ~same["output"])
        alike = np.flatnonzero(right_N & same["input"] & same["task"] & same["output"] & ~same["instruction"])
        for task in np.unique(columns["task"][others]):
            of_task = others[columns["task"][others] == task]
            for other in rng.permutation(of_task)[:donors]:
                found.append((own, other, rng.choice(alike) if len(alike) else own))
    found_N3 = np.array(found, int).reshape(-1, 3)
    if len(found_N3) > most:
        found_N3 = found_N3[np.sort(rng.permutation(len(found_N3))[:most])]
    return Pairs(*found_N3.T)


def _questions(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The pair (task, input symbol) of each instance as one number."""
    return columns["task"].astype(np.int64) * 2**20 + columns["input"]
