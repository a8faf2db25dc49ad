"""Scores cells: what each job asks of an engine, and what it makes of the answers (paper 3.2, 3.3).

A job is a generator that yields once: it yields its requests, is sent the answers, and returns the values of its rows.
So one process may ask for many cells at once, and another one score each of them.
"""

from __future__ import annotations

import functools
import itertools
import pkgutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from clusterlm_jax.analysis.cells import QUERIES, REDUCER, REFERENCE, Key, has_hard, label_columns, spread_labels
from clusterlm_jax.analysis.clustering import seed_of
from clusterlm_jax.analysis.instruments.across import ACROSS_SCORES
from clusterlm_jax.analysis.instruments.geometry import nc1
from clusterlm_jax.analysis.instruments.hard import hard_scores
from clusterlm_jax.analysis.instruments.neighbours import neighbour_scores
from clusterlm_jax.analysis.instruments.probe import fits, probe_scores
from clusterlm_jax.analysis.instruments.tree import best_cut, ward
from clusterlm_jax.analysis.instruments.variance import variance_share, without_group_means
from clusterlm_jax.analysis.instruments.within_input import groups, within_input_scores
from clusterlm_jax.analysis.nulls import draw, null_scores, null_task_share, nulls_of, task_nulls_of
from clusterlm_jax.analysis.scores import score_all
from clusterlm_jax.analysis.scoring.requests import (
    Across,
    Answer,
    Clusters,
    Coordinates,
    Engine,
    Neighbours,
    Predictions,
    Request,
    Silhouettes,
    answers,
)
from clusterlm_jax.analysis.spec import BACKENDS, AnalysisSpec
from clusterlm_jax.records import Cell, HiddenReader, ScoreRow, write_atomically

Values = dict[Key, float]
Steps = Generator[list[Request], list[np.ndarray], Values]


class Scorer:
    """Scores cells. What needs a clustering library it asks of an engine, the one of `spec.backend`.

    Args:
      embeddings: the directory for the coordinates of t-SNE cells, one file each; None keeps none.
    """

    def __init__(self, spec: AnalysisSpec, embeddings: Path | None) -> None:
        self._spec, self._embeddings = spec, embeddings

    @functools.cached_property
    def engine(self) -> Engine:
        return pkgutil.resolve_name(BACKENDS[self._spec.backend])(self._spec)

    def score(self, cells: Sequence[Cell], states: HiddenReader) -> Iterator[tuple[Cell, tuple[ScoreRow, ...]]]:
        """The rows of each cell, one after another."""
        for cell in cells:
            steps = self._steps(cell, states)
            yield cell, self._finish(cell, steps, answers(self.engine, next(steps)))

    def answers(self, cells: Sequence[Cell], states: HiddenReader) -> Iterator[tuple[Cell, list[Answer]]]:
        """What the engine answers to each cell, all asked at once."""
        known = _Remembered(states)  # a layer is read once for all of its cells
        asked = {cell: next(self._steps(cell, known)) for cell in cells}
        found = iter(answers(self.engine, [*itertools.chain(*asked.values())]))
        return ((cell, [*itertools.islice(found, len(requests))]) for cell, requests in asked.items())

    def rows(self, cell: Cell, states: HiddenReader, answered: Sequence[Answer]) -> tuple[ScoreRow, ...]:
        """The rows of a cell with what was answered to it."""
        steps = self._steps(cell, states)
        next(steps)
        return self._finish(cell, steps, answered)

    def _finish(self, cell: Cell, steps: Steps, answered: Sequence[Answer]) -> tuple[ScoreRow, ...]:
        try:
            steps.send([answer.array for answer in answered])
        except StopIteration as end:
            values = end.value
        backend = "+".join(sorted({answer.backend for answer in answered})) or "sklearn"
        place = cell.run, cell.seed, cell.epoch, cell.step, cell.split, cell.layer
        return tuple(
            ScoreRow(*place, label, REDUCER[cell.job], score, value, backend)
            for (label, score), value in values.items()
        )

    def _steps(self, cell: Cell, states: HiddenReader) -> Steps:
        return getattr(self, f"_{cell.job}")(cell, states)  # one method for each of `records.JOBS`

    def _raw(self, cell: Cell, states: HiddenReader) -> Steps:
        hidden_ND, columns = _load(cell, states, cell.split)
        found = yield self._clusters(cell, hidden_ND, columns)
        return self._clustered(cell, columns, found) | self._shares(hidden_ND, columns)

    def _residual(self, cell: Cell, states: HiddenReader) -> Steps:
        """Scores states minus the mean state of their input symbol over the training set. Not in the paper.

        The input symbol explains most of the variance at the input token. If clusters by task show here but not in the
        raw states, the input symbol hid them.
        """
        hidden_ND, columns = _load(cell, states, cell.split)
        reference_MD, reference_columns = _load(cell, states, REFERENCE)
        residual_ND = without_group_means(hidden_ND, columns["input"], reference_MD, reference_columns["input"])
        found = yield self._clusters(cell, residual_ND, columns)
        return self._clustered(cell, columns, found) | self._shares(residual_ND, columns)

    def _shares(self, points_ND: np.ndarray, columns: Mapping[str, np.ndarray]) -> Values:
        labels = spread_labels(self._spec)
        return {(label, "variance_share"): variance_share(points_ND, columns[label]) for label in labels}

    def _tsne(self, cell: Cell, states: HiddenReader) -> Steps:
        hidden_ND, columns = _load(cell, states, cell.split)
        request = Coordinates(hidden_ND, seed_of(cell.name))
        coordinates_N3, *found = yield [request, *self._clusters(cell, request, columns)]
        if self._embeddings is not None:
            self._keep(cell, coordinates_N3, columns)
        return self._clustered(cell, columns, found)

    def _knn(self, cell: Cell, states: HiddenReader) -> Steps:
        query_QD, query_columns = _load(cell, states, QUERIES)
        reference_ND, reference_columns = _load(cell, states, REFERENCE)
        [index_QP] = yield [Neighbours(query_QD, reference_ND, self._spec.neighbours)]
        values = neighbour_scores(index_QP, query_columns, reference_columns)
        for null in task_nulls_of(self._spec):
            values[null, "knn_percentage"] = null_task_share(
                null, index_QP, query_columns, reference_columns, self._spec.null_draws, _generator(cell, null)
            )
        return values

    def _across(self, cell: Cell, states: HiddenReader) -> Steps:
        known = (*_load(cell, states, cell.split), *_load(cell, states, REFERENCE))
        [shares] = yield [Across(*known, self._spec.neighbours)]
        return {
            (label, score): value
            for score, pair in zip(ACROSS_SCORES, shares.tolist(), strict=False)  # without inputs there is the first
            for label, value in zip(("task", "shuffled_task"), pair, strict=True)
        }

    def _probe(self, cell: Cell, states: HiddenReader) -> Steps:
        known, fitted = (*_load(cell, states, QUERIES), *_load(cell, states, REFERENCE)), {}
        for label, control in (("task", False), ("regrouped_task", True)):
            # The seed has no epoch and no layer: all use the same halves of the distributions, so that only the states
            # differ between them.
            rng = np.random.default_rng(seed_of(f"seed={cell.seed}/probe/{label}"))
            fitted[label] = fits(*known, rng, control)
        found = iter((yield [Predictions(*fit[:3]) for own in fitted.values() for fit in own]))
        return {
            (label, score): value
            for label, own in fitted.items()
            for score, value in probe_scores(own, [*itertools.islice(found, len(own))]).items()
        }

    def _geometry(self, cell: Cell, states: HiddenReader) -> Steps:
        hidden_ND, columns = _load(cell, states, cell.split)
        drawn = self._drawn(cell, columns)
        labels = [columns[label] for label in self._spec.labels]
        [found] = yield [Silhouettes(hidden_ND, (*labels, *itertools.chain(*drawn.values())))]
        values = {}
        for label, value in zip(self._spec.labels, found.tolist(), strict=False):
            values |= {(label, "silhouette"): value, (label, "nc1"): nc1(hidden_ND, columns[label])}
        of_draws = iter(found[len(labels) :].tolist())
        return values | {
            (null, "silhouette"): float(np.mean([*itertools.islice(of_draws, len(draws))]))
            for null, draws in drawn.items()
        }

    def _tree(self, cell: Cell, states: HiddenReader) -> Steps:
        yield []
        hidden_ND, columns = _load(cell, states, cell.split)
        tree, values = ward(hidden_ND), {}
        for label in self._spec.labels:
            f1, clusters = best_cut(tree, columns[label])
            values |= {(label, "tree_f1"): f1, (label, "tree_clusters"): float(clusters)}
        for null, draws in self._drawn(cell, columns).items():
            values[null, "tree_f1"] = float(np.mean([best_cut(tree, label_N)[0] for label_N in draws]))
        return values

    def _within_input(self, cell: Cell, states: HiddenReader) -> Steps:
        hidden_ND, columns = _load(cell, states, cell.split)
        inside = groups(columns)
        found = yield [
            Clusters(hidden_ND[here_N], tasks, seed_of(f"{cell.name}/input={symbol}"))
            for symbol, (here_N, tasks) in inside.items()
        ]
        nulls = {null: _generator(cell, null) for null in task_nulls_of(self._spec)}
        return within_input_scores(columns, dict(zip(inside, found, strict=True)), nulls, self._spec.null_draws)

    def _drawn(self, cell: Cell, columns: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
        """`null_draws` draws of each null label of the task."""
        generators = {null: _generator(cell, null) for null in task_nulls_of(self._spec)}
        draws = range(self._spec.null_draws)
        return {null: [draw(null, columns, rng) for _ in draws] for null, rng in generators.items()}

    def _clusters(
        self, cell: Cell, points_ND: np.ndarray | Coordinates, columns: Mapping[str, np.ndarray]
    ) -> list[Clusters]:
        """Asks for KMeans for every label, with k the number of its values. Labels of equal k share one clustering."""
        counts = dict.fromkeys(len(np.unique(columns[label])) for label in self._spec.labels)
        return [Clusters(points_ND, k, seed_of(cell.name)) for k in counts]

    def _clustered(self, cell: Cell, columns: Mapping[str, np.ndarray], found: Sequence[np.ndarray]) -> Values:
        """Scores what was asked for by `_clusters`, in its order."""
        spec = self._spec
        count = {label: len(np.unique(columns[label])) for label in spec.labels}
        clusters = dict(zip(dict.fromkeys(count.values()), found, strict=True))
        scores = {label: score_all(columns[label], clusters[k]) for label, k in count.items()}
        for null, label in nulls_of(spec).items():
            scores[null] = null_scores(null, columns, clusters[count[label]], spec.null_draws, _generator(cell, null))
        if has_hard(cell, spec):
            matching_N = columns.get("matching", np.full_like(columns["task"], -1))  # states kept by an older version
            scores["task"] |= hard_scores(columns["task"], columns["original"], matching_N, clusters[count["task"]])
        return {(label, score): value for label, by_score in scores.items() for score, value in by_score.items()}

    def _keep(self, cell: Cell, coordinates_N3: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        def write(path: Path) -> None:
            with path.open("wb") as file:  # given a path instead, savez would add a suffix to the temporary name
                np.savez(file, coordinates_N3=coordinates_N3.astype(np.float32), **columns)

        place = self._embeddings / cell.run / f"seed={cell.seed}" / f"epoch={cell.epoch:04d}" / cell.split
        write_atomically(place / f"layer={cell.layer}.npz", write)


class _Remembered:
    """Hidden states that are read once. Implements `records.HiddenReader`."""

    def __init__(self, states: HiddenReader) -> None:
        self.layer, self.labels = functools.cache(states.layer), functools.cache(states.labels)


def _generator(cell: Cell, null: str) -> np.random.Generator:
    """A generator for one null label of a cell, so its draws do not depend on what else is scored."""
    return np.random.default_rng(seed_of(f"{cell.name}/{null}"))


def _load(cell: Cell, states: HiddenReader, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    where = cell.run, cell.seed, cell.epoch, split
    return states.layer(*where, cell.layer), label_columns(states.labels(*where))
