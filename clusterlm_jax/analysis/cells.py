"""Cells of the analysis and what rows they have (paper 3.2, 3.3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from clusterlm_jax.analysis.instruments.across import ACROSS_SCORES
from clusterlm_jax.analysis.instruments.geometry import GEOMETRY_SCORES
from clusterlm_jax.analysis.instruments.hard import HARD_SCORES
from clusterlm_jax.analysis.instruments.probe import PROBE_SCORES
from clusterlm_jax.analysis.instruments.tree import TREE_SCORES
from clusterlm_jax.analysis.instruments.within_input import WITHIN_SCORES
from clusterlm_jax.analysis.nulls import NULL_SCORES, nulls_of, task_nulls_of
from clusterlm_jax.analysis.scores import SCORES
from clusterlm_jax.analysis.spec import VALIDATION_ONLY, AnalysisSpec
from clusterlm_jax.records import INSTRUMENTS, Cell, UserError

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
    if has_hard(cell, spec):
        keys |= {("task", score) for score in HARD_SCORES}
    if cell.job in ("raw", "residual"):
        keys |= {(label, "variance_share") for label in spread_labels(spec)}
    return frozenset(keys)


def spread_labels(spec: AnalysisSpec) -> tuple[str, ...]:
    """The labels to explain the spread of the states by: those scored, and the position where it is known."""
    return tuple(dict.fromkeys((*spec.labels, *(name for name in spec.columns if name == "position"))))


def has_hard(cell: Cell, spec: AnalysisSpec) -> bool:
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
