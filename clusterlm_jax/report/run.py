"""A run as a page sees it: scores and metrics as curves over the epochs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.words import NULLS, REDUCERS

Curve = Mapping[int, float]  # epoch -> value, epochs ascending
Embeddings = Mapping[str, Mapping[str, Mapping[int, Path]]]  # split -> layer -> epoch -> file of coordinates
T = TypeVar("T")
# Scores of the states as they are, without a clustering of the run's reducer.
WITHOUT_REDUCER = ("knn_", "variance_", "across", "probe_", "silhouette", "nc1", "tree_", "within_input_")


class NotRun(Exception):
    """What a figure, a table or a claim needs is not in the work directory; the message says what."""


class Key(NamedTuple):
    """What a curve is of: the columns of `scores.csv`, in its order."""

    split: str
    layer: str
    label: str
    reducer: str
    score: str


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One seed of a training, or the mean of several.

    Attributes:
      name: of the work directory.
      seeds: one, or those `mean_run` is the mean of.
      curves: every score over the analysed epochs.
      metrics: losses (nats) and accuracies over all epochs, by name.
      symbols: scores of the null run `null/symbols`, each instance as its bag of instruction symbols.
      facts, config, environment: `run.json` with the sections of the seed, `config.json`, `env.json`; empty where there
        is no such file.
      seconds: wall time by stage.
      embeddings: files of t-SNE coordinates by split, layer and epoch.
      deviations: standard deviation over the seeds of every curve of `curves` and `metrics`; empty for one seed.
      members: the runs it is the mean of; empty for one seed.
      common_reducer: the reducer all seeds are shown with; empty for a seed trained alone.
    """

    name: str
    seeds: tuple[int, ...]
    curves: Mapping[Key, Curve]
    metrics: Mapping[str, Curve]
    symbols: Mapping[Key, float]
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    embeddings: Embeddings
    deviations: Mapping[Key | str, Curve] = dataclasses.field(default_factory=dict)
    members: tuple[Run, ...] = ()
    common_reducer: str = ""

    @property
    def each_seed(self) -> tuple[Run, ...]:
        """The run of every seed; itself where it is the only one."""
        return self.members or (self,)

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have scores, the final norm last."""
        names = {key.layer for key in self.curves}
        return (*sorted(names - {FINAL_NORM}, key=int), *(names & {FINAL_NORM}))

    @property
    def indices(self) -> tuple[str, ...]:
        """The paper's layers: the word embedding (0) and the state after each block."""
        return tuple(layer for layer in self.layers if layer != FINAL_NORM)

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(layer for layer in self.indices if layer != "0")

    @property
    def top(self) -> str:
        """The last block."""
        if not self.blocks:
            raise NotRun("no block of the model has been analysed")
        return self.blocks[-1]

    @functools.cached_property
    def best_epoch(self) -> int | None:
        """The early-stopping epoch: the kept checkpoint's, or before there is one the most accurate so far."""
        recorded = self.facts.get("best", {}).get("epoch")
        accuracy = self.metrics.get("validation_accuracy", {})
        return recorded if recorded is not None else max(accuracy, key=accuracy.__getitem__, default=None)

    @property
    def trained(self) -> int:
        """The last epoch trained; -1 before the first."""
        return max((epoch for curve in self.metrics.values() for epoch in curve), default=-1)

    @property
    def whole(self) -> int:
        """Epochs of the whole training, as far as the work directory says."""
        return self.config.get("train", {}).get("epochs", self.trained)

    @functools.cached_property
    def reducer(self) -> str:
        """The one reducer shown in this run, the better by validation task F1.

        Compared on what both have scored: the blocks, over the analysed epochs from the best one on, or over all
        epochs if there is none.
        """
        if self.common_reducer:
            return self.common_reducer
        scored = {reducer: self._task_f1_cells(reducer) for reducer in REDUCERS}
        scored = {reducer: cells for reducer, cells in scored.items() if cells}
        if not scored:
            raise NotRun("the task clusters of the validation split have not been scored")
        shared = set.intersection(*(set(cells) for cells in scored.values()))
        if not shared:
            return max(scored, key=lambda reducer: len(scored[reducer]))
        late = {cell for cell in shared if self.best_epoch is not None and cell[1] >= self.best_epoch} or shared
        return max(scored, key=lambda reducer: np.mean([scored[reducer][cell] for cell in sorted(late)]))

    @functools.cached_property
    def epochs(self) -> tuple[int, ...]:
        """Analysed epochs: those whose task clusters are scored at every layer of every split."""
        cells = ("task", self.reducer, "f1")  # outside the loop: without any curve this raises NotRun
        curves = [curve for key, curve in self.curves.items() if key[2:] == cells]
        complete = set.intersection(*map(set, curves))
        if not complete:
            raise NotRun("no epoch has been analysed at every layer")
        return tuple(sorted(complete))

    @functools.cached_property
    def moments(self) -> Mapping[str, int]:
        """The first, the best (the nearest analysed at or before it) and the last analysed epoch."""
        first, last = self.epochs[0], self.epochs[-1]
        best = max((epoch for epoch in self.epochs if epoch <= (self.best_epoch or 0)), default=first)
        return {"first": first, "best": best, "last": last}

    @property
    def last(self) -> int:
        """The last analysed epoch."""
        return self.epochs[-1]

    @property
    def late_epochs(self) -> tuple[int, ...]:
        """The analysed epochs from the best one on; the last one if the analysis has not come so far."""
        return tuple(epoch for epoch in self.epochs if epoch >= (self.best_epoch or 0)) or self.epochs[-1:]

    def key(self, *, split: str, layer: str, label: str, reducer: str | None, score: str) -> Key:
        """The key of a curve; a clustering is the run's own reducer's unless one is named."""
        if reducer is None:
            reducer = "none" if score.startswith(WITHOUT_REDUCER) else self.reducer
        return Key(split, layer, label, reducer, score)

    def curve(
        self, *, split: str = "validation", layer: str, label: str = "task", reducer: str | None = None, score: str
    ) -> Curve:
        """A score over the epochs, empty if not run."""
        return self.curves.get(self.key(split=split, layer=layer, label=label, reducer=reducer, score=score), {})

    def mean(self, *, layers: Iterable[str], epochs: Iterable[int], **of: str | None) -> float:
        """Mean of a score over layers and epochs, all of which must be there; `of` as `curve` takes it."""
        epochs = tuple(epochs)
        try:
            values = [curve[epoch] for curve in (self.curve(layer=layer, **of) for layer in layers) for epoch in epochs]
        except KeyError:
            where = f"{of['score']} by {of.get('label', 'task')}"
            raise NotRun(
                f"{where} is not scored at each layer and epoch needed ({of.get('split', 'validation')})"
            ) from None
        return float(np.mean(values))

    def best_block(self, *, epoch: int, **of: str | None) -> tuple[str, float]:
        """The block with the highest F1 at an epoch, and that F1; every block must be scored."""
        values = {block: self.mean(layers=(block,), epochs=(epoch,), score="f1", **of) for block in self.blocks}
        if not values:
            raise NotRun("no block of the model has been analysed")
        return max(values.items(), key=lambda item: item[1])

    def over_blocks(self, combine: Callable[[list[float]], float], **of: str | None) -> Curve:
        """The blocks' values of a score, combined at each epoch at which all of them are there."""
        curves = [self.curve(layer=block, **of) for block in self.blocks]
        epochs = set.intersection(*map(set, curves)) if curves else set()
        return {epoch: float(combine([curve[epoch] for curve in curves])) for epoch in sorted(epochs)}

    def null_curves(
        self, *, split: str = "validation", label: str = "task", reducer: str | None = None, score: str
    ) -> dict[str, Curve]:
        """Each null baseline that has been scored, over the analysed epochs: constant, or the mean of the blocks."""
        of = {"split": split, "reducer": reducer, "score": score}
        trained = self.over_blocks(max, label=label, **of)
        constants = {"symbols": self.symbols.get(self.key(layer="0", label=label, **of)), "untrained": trained.get(0)}
        curves = {name: dict.fromkeys(trained, value) for name, value in constants.items() if value is not None}
        for name in ("regrouped", "shuffled"):
            curves[name] = self.over_blocks(np.mean, label=f"{name}_{label}", **of)
        return {name: curve for name, curve in curves.items() if curve}

    def null_values(
        self, *, split: str = "validation", layer: str, epoch: int, reducer: str | None = None, score: str = "f1"
    ) -> dict[str, float | None]:
        """What each null baseline scores by task, to compare with a block at an epoch; None where it was not run.

        Labels are shuffled in that very block; the untrained model is taken in its own best one.
        """
        of = {"split": split, "reducer": reducer, "score": score}
        values = {"symbols": self.symbols.get(self.key(layer="0", label="task", **of))}
        values["untrained"] = self.over_blocks(max, **of).get(0)
        for name in ("regrouped", "shuffled"):
            values[name] = self.curve(layer=layer, label=f"{name}_task", **of).get(epoch)
        return {name: values[name] for name in NULLS}

    def _task_f1_cells(self, reducer: str) -> dict[tuple[str, int], float]:
        curves = {layer: self.curve(layer=layer, reducer=reducer, score="f1") for layer in self.blocks}
        return {(layer, epoch): value for layer, curve in curves.items() for epoch, value in curve.items()}


def measured(measure: Callable[..., T], *of: Any) -> T | None:
    """What a function finds, None where that was not run."""
    try:
        return measure(*of)
    except NotRun:
        return None
