"""Cells of the analysis and their score rows (paper 3.2, 3.3)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from clusterlm_jax.analysis.clustering import kmeans, seed_of, tsne
from clusterlm_jax.analysis.instruments.across import ACROSS_SCORES, across_scores
from clusterlm_jax.analysis.instruments.geometry import GEOMETRY_SCORES, distances, nc1, silhouette
from clusterlm_jax.analysis.instruments.hard import HARD_SCORES, hard_scores
from clusterlm_jax.analysis.instruments.neighbours import nearest, neighbour_scores
from clusterlm_jax.analysis.instruments.probe import PROBE_SCORES, probe_scores
from clusterlm_jax.analysis.instruments.tree import TREE_SCORES, best_cut, ward
from clusterlm_jax.analysis.instruments.variance import variance_share, without_group_means
from clusterlm_jax.analysis.instruments.within_input import WITHIN_SCORES, within_input_scores
from clusterlm_jax.analysis.nulls import NULL_SCORES, draw, null_scores, null_task_share, nulls_of, task_nulls_of
from clusterlm_jax.analysis.scores import SCORES, score_all
from clusterlm_jax.analysis.seeding import PlusPlus
from clusterlm_jax.analysis.spec import VALIDATION_ONLY, AnalysisSpec
from clusterlm_jax.records import INSTRUMENTS, Cell, HiddenReader, ScoreRow, UserError, write_atomically

REFERENCE, QUERIES, HARD = "training", "validation", "training_subset"  # splits; the last has the hard examples
REDUCER = {"raw": "none", "tsne": "tsne", "knn": "none", "residual": "input_removed"} | dict.fromkeys(
    INSTRUMENTS, "none"
)
INSTRUMENT_SCORES = {
    "across": ACROSS_SCORES,
    "probe": PROBE_SCORES,
    "geometry": GEOMETRY_SCORES,
    "tree": TREE_SCORES,
    "within_input": WITHIN_SCORES,
}
KNN_KEYS = (
    ("task", "knn_percentage"),
    *itertools.product(("output",), ("knn_accuracy", "knn_accuracy_nearest")),
    *itertools.product(("task",), ("knn_task_accuracy", "knn_task_accuracy_nearest")),
)
Key = tuple[str, str]  # label, score


def cells_of(
    run: str, seed: int, epoch: int, step: int, splits: Sequence[str], layers: Sequence[str], spec: AnalysisSpec
) -> list[Cell]:
    """All cells of an epoch. The jobs in `VALIDATION_ONLY` have cells of the validation split only."""
    return [
        Cell(run, seed, epoch, step, split, layer, job)
        for split, layer, job in itertools.product(splits, layers, spec.jobs)
        if job not in VALIDATION_ONLY or split == QUERIES
    ]


def splits_of(cell: Cell) -> tuple[str, ...]:
    """The splits whose hidden states a cell reads."""
    return (cell.split, REFERENCE) if cell.job in ("knn", "residual", "across", "probe") else (cell.split,)


def keys_of(cell: Cell, spec: AnalysisSpec) -> frozenset[Key]:
    """The (label, score) pairs of a cell's rows. The cell is done when the table has them all."""
    nulls = nulls_of(spec)
    task_nulls = task_nulls_of(spec)
    match cell.job:
        case "knn":
            keys = {(label, score) for label, score in KNN_KEYS if label in spec.columns}
            return frozenset(keys) | {(null, "knn_percentage") for null in task_nulls}
        case "across":
            scores = ACROSS_SCORES if "input" in spec.columns else ACROSS_SCORES[:1]
            return frozenset(itertools.product(("task", "shuffled_task"), scores))
        case "probe":
            return frozenset(itertools.product(("task", "regrouped_task"), PROBE_SCORES))
        case "geometry":
            return frozenset(itertools.product(spec.labels, GEOMETRY_SCORES)) | {
                (null, "silhouette") for null in task_nulls
            }
        case "tree":
            return frozenset(itertools.product(spec.labels, TREE_SCORES)) | {(null, "tree_f1") for null in task_nulls}
        case "within_input":
            return frozenset(itertools.product(("task", *task_nulls), WITHIN_SCORES))
    keys = {*itertools.product(spec.labels, SCORES), *itertools.product(nulls, NULL_SCORES)}
    if _has_hard(cell, spec):
        keys |= {("task", score) for score in HARD_SCORES}
    if cell.job in ("raw", "residual"):
        keys |= {(label, "variance_share") for label in _spread_labels(spec)}
    return frozenset(keys)


def _spread_labels(spec: AnalysisSpec) -> tuple[str, ...]:
    """The labels to explain the spread of the states by: those scored, and the position where it is known."""
    return tuple(dict.fromkeys((*spec.labels, *(name for name in spec.columns if name == "position"))))


def _has_hard(cell: Cell, spec: AnalysisSpec) -> bool:
    return cell.split == HARD and "task" in spec.labels


def job_of(reducer: str, score: str) -> str:
    """The job that a row comes from. (The columns of `scores.csv` do not include it.)

    Raises:
      UserError: if no job has this reducer.
    """
    if reducer not in REDUCER.values():
        allowed = ", ".join(dict.fromkeys(REDUCER.values()))
        raise UserError(f"The scores have rows with the reducer {reducer!r}; allowed: {allowed}.")
    if score.startswith("knn_"):
        return "knn"
    instruments = (job for job, scores in INSTRUMENT_SCORES.items() if score in scores)
    return next(instruments, None) or next(job for job, name in REDUCER.items() if name == reducer)


def label_columns(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The label columns of hidden states, and the paper's combined label `distribution_mapping` if they allow it."""
    if not {"distribution", "mapping"} <= columns.keys() or "distribution_mapping" in columns:
        return dict(columns)
    pair_2N = np.stack([columns["distribution"], columns["mapping"]])
    combined_N = np.unique(pair_2N, axis=1, return_inverse=True)[1]
    return {**columns, "distribution_mapping": combined_N.ravel()}


class SklearnBackend:
    """Scores cells one after another with scikit-learn. Implements `records.AnalysisBackend`.

    Args:
      embeddings: the directory for the coordinates of t-SNE cells, one file each; None keeps none.
    """

    def __init__(self, spec: AnalysisSpec, embeddings: Path | None) -> None:
        self._spec, self._embeddings = spec, embeddings

    def score(self, cells: Sequence[Cell], states: HiddenReader) -> Iterator[tuple[Cell, tuple[ScoreRow, ...]]]:
        for cell in cells:
            values = getattr(self, f"_{cell.job}")(cell, states)  # one method for each of `records.JOBS`
            yield (
                cell,
                tuple(
                    ScoreRow(
                        cell.run, cell.seed, cell.epoch, cell.step, cell.split, cell.layer,
                        label, REDUCER[cell.job], score, value,
                    )
                    for (label, score), value in values.items()
                ),
            )  # fmt: skip

    def _raw(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        hidden_ND, columns = _load(cell, states, cell.split)
        return self._cluster(cell, hidden_ND, columns) | self._shares(hidden_ND, columns)

    def _residual(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        """Scores states minus the mean state of their input symbol over the training set. Not in the paper.

        The input symbol explains most of the variance at the input token. If clusters by task show here but not in the
        raw states, the input symbol hid them.
        """
        hidden_ND, columns = _load(cell, states, cell.split)
        reference_MD, reference_columns = _load(cell, states, REFERENCE)
        residual_ND = without_group_means(hidden_ND, columns["input"], reference_MD, reference_columns["input"])
        return self._cluster(cell, residual_ND, columns) | self._shares(residual_ND, columns)

    def _shares(self, points_ND: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[Key, float]:
        labels = _spread_labels(self._spec)
        return {(label, "variance_share"): variance_share(points_ND, columns[label]) for label in labels}

    def _tsne(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        hidden_ND, columns = _load(cell, states, cell.split)
        coordinates_N3 = tsne(hidden_ND, seed_of(cell.name), self._spec)
        values = self._cluster(cell, coordinates_N3, columns)
        if self._embeddings is not None:
            self._keep(cell, coordinates_N3, columns)
        return values

    def _knn(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        query_QD, query_columns = _load(cell, states, QUERIES)
        reference_ND, reference_columns = _load(cell, states, REFERENCE)
        index_QP = nearest(query_QD, reference_ND, self._spec.neighbours)
        values = neighbour_scores(index_QP, query_columns, reference_columns)
        for null in task_nulls_of(self._spec):
            values[null, "knn_percentage"] = null_task_share(
                null, index_QP, query_columns, reference_columns, self._spec.null_draws, _generator(cell, null)
            )
        return values

    def _across(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        found = across_scores(*_load(cell, states, cell.split), *_load(cell, states, REFERENCE), self._spec.neighbours)
        return {
            (label, score): value
            for score, pair in found.items()
            for label, value in zip(("task", "shuffled_task"), pair, strict=True)
        }

    def _probe(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        known, values = (*_load(cell, states, QUERIES), *_load(cell, states, REFERENCE)), {}
        for label, control in (("task", False), ("regrouped_task", True)):
            # The seed has no epoch and no layer: all use the same halves of the distributions, so that only the states
            # differ between them.
            rng = np.random.default_rng(seed_of(f"seed={cell.seed}/probe/{label}"))
            values |= {(label, score): value for score, value in probe_scores(*known, rng, control).items()}
        return values

    def _geometry(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        hidden_ND, columns = _load(cell, states, cell.split)
        distance_NN, values = distances(hidden_ND), {}
        for label in self._spec.labels:
            values[label, "silhouette"] = silhouette(distance_NN, columns[label])
            values[label, "nc1"] = nc1(hidden_ND, columns[label])
        return values | self._nulls(cell, columns, "silhouette", partial(silhouette, distance_NN))

    def _tree(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        hidden_ND, columns = _load(cell, states, cell.split)
        tree, values = ward(hidden_ND), {}
        for label in self._spec.labels:
            f1, clusters = best_cut(tree, columns[label])
            values |= {(label, "tree_f1"): f1, (label, "tree_clusters"): float(clusters)}
        return values | self._nulls(cell, columns, "tree_f1", lambda label_N: best_cut(tree, label_N)[0])

    def _within_input(self, cell: Cell, states: HiddenReader) -> dict[Key, float]:
        def cluster(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
            return kmeans(points_ND, clusters, seed_of(f"{cell.name}/input={symbol}"), self._spec)

        nulls = {null: _generator(cell, null) for null in task_nulls_of(self._spec)}
        return within_input_scores(*_load(cell, states, cell.split), cluster, nulls, self._spec.null_draws)

    def _nulls(
        self, cell: Cell, columns: Mapping[str, np.ndarray], score: str, of: Callable[[np.ndarray], float]
    ) -> dict[Key, float]:
        """For each null label of the task: the mean of a score over `null_draws` draws of the label."""
        values = {}
        for null in task_nulls_of(self._spec):
            rng = _generator(cell, null)
            values[null, score] = float(np.mean([of(draw(null, columns, rng)) for _ in range(self._spec.null_draws)]))
        return values

    def _cluster(self, cell: Cell, points_ND: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[Key, float]:
        """Scores KMeans for every label, with k the number of its values. Labels of equal k share one clustering."""
        spec = self._spec
        count = {label: len(np.unique(columns[label])) for label in spec.labels}
        start = PlusPlus()
        clusters = {k: kmeans(points_ND, k, seed_of(cell.name), spec, start) for k in set(count.values())}
        scores = {label: score_all(columns[label], clusters[k]) for label, k in count.items()}
        for null, label in nulls_of(spec).items():
            scores[null] = null_scores(null, columns, clusters[count[label]], spec.null_draws, _generator(cell, null))
        if _has_hard(cell, spec):
            matching_N = columns.get("matching", np.full_like(columns["task"], -1))  # states kept by an older version
            scores["task"] |= hard_scores(columns["task"], columns["original"], matching_N, clusters[count["task"]])
        return {(label, score): value for label, by_score in scores.items() for score, value in by_score.items()}

    def _keep(self, cell: Cell, coordinates_N3: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        def write(path: Path) -> None:
            with path.open("wb") as file:  # given a path instead, savez would add a suffix to the temporary name
                np.savez(file, coordinates_N3=coordinates_N3.astype(np.float32), **columns)

        place = self._embeddings / cell.run / f"seed={cell.seed}" / f"epoch={cell.epoch:04d}" / cell.split
        write_atomically(place / f"layer={cell.layer}.npz", write)


def _generator(cell: Cell, null: str) -> np.random.Generator:
    """A generator for one null label of a cell, so its draws do not depend on what else is scored."""
    return np.random.default_rng(seed_of(f"{cell.name}/{null}"))


def _load(cell: Cell, states: HiddenReader, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    where = cell.run, cell.seed, cell.epoch, split
    return states.layer(*where, cell.layer), label_columns(states.labels(*where))
