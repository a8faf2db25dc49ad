"""Small work directories by formula, as a run leaves them."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import operator
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clusterlm_jax.records import SPLITS, ScoreRow, layer_names
from clusterlm_jax.report.reading import MAIN, read_phases
from clusterlm_jax.report.run import Run

VALUES = operator.attrgetter(*(field.name for field in dataclasses.fields(ScoreRow)))
LABELS = ("task", "distribution", "distribution_mapping", "mapping", "input", "output")
CLUSTER_SCORES = ("f1", "f1_majority", "f1_max_overlap", "f1_pairwise", "f1_bcubed", "purity", "ari", "ami")
REDUCERS = ("none", "tsne", "input_removed")
NULL_LABELS = ("shuffled_task", "shuffled_distribution", "shuffled_distribution_mapping", "regrouped_task")
SCORES = ("f1", "ari", "ami")
NEIGHBOURS = (
    ("task", "knn_percentage"),
    *(("output", f"knn_accuracy{ties}") for ties in ("", "_nearest")),
    *(("task", f"knn_task_accuracy{ties}") for ties in ("", "_nearest")),
)
ACROSS = ("across", "across_same_input", "across_other_input")
PROBE = ("probe_validation", "probe_training")
WITHIN = ("within_input_f1", "within_input_ari", "within_input_ami")
TREE_CLUSTERS = {"task": 10.0, "distribution": 21.0, "distribution_mapping": 105.0, "input": 24.0}
SYMBOLS = "null/symbols"
Value = Callable[[ScoreRow], float]


def like_the_paper(row: ScoreRow, epochs: int = 9, blocks: int = 3) -> float:
    """Scores as the paper describes them: rising over training and over the layers, the embedding flat.

    By surface alone little is found; seeds differ, more on the training subset. Task clusters come one epoch before the
    accuracy.
    """
    if row.score == "tree_clusters":
        return TREE_CLUSTERS.get(row.label, 50.0)
    if row.label.startswith("shuffled_"):
        return 0.1
    if row.label.startswith("regrouped_"):
        return 0.25
    if row.run == SYMBOLS:
        return 0.3
    depth = (blocks if row.layer == "final_norm" else int(row.layer)) / blocks
    steady = min(row.epoch / (0.6 * (epochs - 1)), 1.0)
    ahead = 0.6 if row.label == "task" and row.score in CLUSTER_SCORES else 0.0
    abrupt = ahead * (row.epoch >= 3) + (1 - ahead) * (row.epoch >= 4)
    progress = (1 - depth) * steady + depth * abrupt  # the higher, the more it moves with the accuracy
    if row.score == "variance_share":
        return {"input": 0.7 - 0.5 * depth * progress, "task": 0.1 + 0.5 * depth * progress}.get(row.label, 0.3)
    if row.score == "tree_f1" and row.label == "input":
        return 0.3
    if row.score.startswith("hard_with_"):
        return 0.1 + 0.7 * progress * depth if row.score == "hard_with_own" else 0.6 - 0.5 * progress * depth
    ceiling = 0.92 if row.split == "validation" else 0.88
    height = 0.15 + (ceiling - 0.15) * progress * (0.4 + 0.6 * depth) * (depth > 0)
    height += (0, -0.03, -0.015)[row.seed % 3] * progress * (1 if row.split == "validation" else 2)
    behind = {"none": 0.1, "tsne": 0.0, "input_removed": 0.05}[row.reducer] if row.score in CLUSTER_SCORES else 0.0
    return height - behind - 0.01 * CLUSTER_SCORES.index(row.score) if row.score in CLUSTER_SCORES else height


def score_rows(value: Value, epochs: int = 9, blocks: int = 3, seed: int = 0) -> list[ScoreRow]:
    """The rows of a run with the values of a formula."""
    return [ScoreRow(*VALUES(row)[:-2], value(row)) for row in _rows_to_fill(epochs, blocks, seed)]


@functools.lru_cache(maxsize=4)  # making them takes half of the time of many tests
def _rows_to_fill(epochs: int, blocks: int, seed: int) -> tuple[ScoreRow, ...]:
    cells = [
        ("main", epoch, split, layer, *labels_and_scores)
        for epoch in range(epochs)
        for layer in layer_names(blocks)
        for split in SPLITS
        for labels_and_scores in (*_clusterings(split), *_others(split))
    ]
    cells += [(SYMBOLS, 0, split, "0", *rest) for split in SPLITS for rest in (*_clusterings(split), *_others(split))]
    return tuple(ScoreRow(run, seed, epoch, 10 * epoch, *names, 0.0) for run, epoch, *names in cells)


def _clusterings(split: str) -> list[tuple[str, str, str]]:
    """Label, reducer and score of every clustering of a split; what F1 could mean, which one table shows, by task."""
    scored = [("task", score) for score in CLUSTER_SCORES]
    scored += [(label, score) for label in (*LABELS[1:], *NULL_LABELS) for score in SCORES]
    if split == "training_subset":
        scored += [("task", "hard_with_own"), ("task", "hard_with_original")]
    return [(label, reducer, score) for reducer in REDUCERS for label, score in scored]


def _others(split: str) -> list[tuple[str, str, str]]:
    rows = [(label, "none", "variance_share") for label in (*LABELS, "position")]
    rows += [(label, "none", score) for label in ("task", "shuffled_task") for score in ACROSS]
    rows += [(label, "none", score) for label in LABELS for score in ("silhouette", "nc1", "tree_f1", "tree_clusters")]
    for null in ("shuffled_task", "regrouped_task"):
        rows += [(null, "none", score) for score in ("silhouette", "tree_f1", *WITHIN)]
    rows += [("task", "none", score) for score in WITHIN]
    if split == "validation":
        rows += [(label, "none", score) for label, score in NEIGHBOURS]
        rows += [(label, "none", "knn_percentage") for label in ("shuffled_task", "regrouped_task")]
        rows += [(label, "none", score) for label in ("task", "regrouped_task") for score in PROBE]
    return rows


def metric_records(epochs: int = 9, best: int = 5, seed: int = 0, similar: bool = False) -> list[dict]:
    """Losses that fall, and accuracies that stay near zero for four epochs, rise, and are highest at `best`."""
    records = []
    for epoch in range(epochs):
        accuracy = 0.01 if epoch < 4 else 0.95 - 0.02 * abs(epoch - best) - 0.01 * seed
        losses = {"training_subset_loss": 3.2 * (1 - accuracy), "validation_loss": 3.3 * (1 - accuracy)}
        if epoch:
            losses["training_loss"] = 3.4 * 0.9**epoch * (1 + 0.02 * seed)
        accuracies = {"training_subset_accuracy": accuracy - 0.005, "validation_accuracy": accuracy}
        if similar:
            accuracies |= {f"{split}_identity_accuracy": (accuracy + 1) / 2 for split in SPLITS}
        records.append({"run": "main", "seed": seed, "epoch": epoch, "step": 10 * epoch, **losses, **accuracies})
    return records


def write_rows(workdir: Path, rows: list[ScoreRow]) -> None:
    with (workdir / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in dataclasses.fields(ScoreRow))
        writer.writerows(map(VALUES, rows))  # astuple would copy each value: most of a test's time


def write_metrics(workdir: Path, records: list[dict]) -> None:
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def write_embeddings(workdir: Path, epochs: tuple[int, ...], layers: tuple[str, ...], points: int = 60) -> None:
    """Points that gather around their tasks as the epochs go by."""
    task_N = np.arange(points) % 10
    for epoch in epochs:
        for layer in layers:
            random = np.random.default_rng(epoch)
            centres = random.normal(size=(10, 3)) * (1 + epoch)
            path = (
                workdir / "embeddings" / "main" / "seed=0" / f"epoch={epoch:04d}" / "validation" / f"layer={layer}.npz"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, coordinates_N3=(centres[task_N] + random.normal(size=(points, 3))), task=task_N)


def write_facts(
    workdir: Path, best: int = 5, seeds: tuple[int, ...] = (0,), shared_mappings: int | None = None
) -> None:
    dataset = {
        "training": 7120,
        "training_subset": 240,
        "validation": 420,
        "tasks": 50,
        "distributions": 171,
        "instructions": 1508,
        "hard_tasks": 5,
        "length_mean": 22.75,
        "length_max": 64,
        "tasks_per_input_mean": 9.8,
    }
    facts = {
        "dataset": dict.fromkeys(seeds, dataset),
        "model": {"parameters": 55360, "hidden_dim": 32, "ffn_dim": 64, "layers": 3, "heads": 8, "vocabulary": 62},
        "training": {seed: {"steps_per_epoch": 220, "instances_per_step": 30, "padding_share": 0.03} for seed in seeds},
        "best": {seed: {"epoch": best, "step": 10 * best, "validation_accuracy": 0.95} for seed in seeds},
    }
    config = {
        "data": {"number_of_tasks": 50, "shared_mappings": shared_mappings},
        "model": {"hidden_dim": 32},
        "seeds": seeds,
    }
    (workdir / "run.json").write_text(json.dumps(facts))
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "env.json").write_text(json.dumps({"jax": "0.10.2", "devices": ["cpu"]}))
    stages = [
        {"stage": "train", "seconds": 61.2},
        {"stage": "analyse", "seconds": 30.0},
        {"stage": "train", "seconds": 60.0},
    ]
    (workdir / "timings.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in stages))


def write_run(
    workdir: Path, value: Value = like_the_paper, seeds: tuple[int, ...] = (0,), shared_mappings: int | None = None
) -> Path:
    """A whole run."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_rows(workdir, [row for seed in seeds for row in score_rows(value, seed=seed)])
    similar = shared_mappings is not None
    write_metrics(workdir, [row for seed in seeds for row in metric_records(seed=seed, similar=similar)])
    write_embeddings(workdir, (0, 2, 5, 8), ("2", "3"))
    write_facts(workdir, seeds=seeds, shared_mappings=shared_mappings)
    return workdir


def read_seeds(workdir: Path) -> tuple[Run, ...]:
    """The main run of every seed."""
    return read_phases(workdir, (MAIN,))[MAIN]
