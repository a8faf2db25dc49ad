"""Small work directories by formula, as a run leaves them."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clusterlm_jax.records import SPLITS, ScoreRow, layer_names

LABELS = ("task", "distribution", "distribution_mapping", "mapping", "input", "output")
CLUSTER_SCORES = ("f1", "f1_majority", "f1_max_overlap", "f1_pairwise", "f1_bcubed", "purity", "ari", "ami")
Value = Callable[[ScoreRow], float]


def like_the_paper(row: ScoreRow, epochs: int = 9, blocks: int = 3) -> float:
    """Scores as the paper describes them: rising over training and over the layers, the embedding flat."""
    depth = (blocks if row.layer == "final_norm" else int(row.layer)) / blocks
    steady = min(row.epoch / (0.6 * (epochs - 1)), 1.0)
    progress = (1 - depth) * steady + depth * (row.epoch >= 4)  # the higher, the more it moves with the accuracy
    if row.score == "variance_share":
        return {"input": 0.7 - 0.5 * depth * progress, "task": 0.1 + 0.5 * depth * progress}.get(row.label, 0.3)
    ceiling = 0.92 if row.split == "validation" else 0.88
    height = 0.15 + (ceiling - 0.15) * progress * (0.4 + 0.6 * depth) * (depth > 0)
    behind = {"none": 0.1, "tsne": 0.0, "input_removed": 0.05}[row.reducer] if row.score in CLUSTER_SCORES else 0.0
    return height - behind - 0.01 * CLUSTER_SCORES.index(row.score) if row.score in CLUSTER_SCORES else height


def score_rows(value: Value, epochs: int = 9, blocks: int = 3, seed: int = 0) -> list[ScoreRow]:
    """Every row of a run with the values of a formula."""
    rows = []

    def add(epoch: int, split: str, layer: str, label: str, reducer: str, score: str) -> None:
        row = ScoreRow("main", seed, epoch, 10 * epoch, split, layer, label, reducer, score, 0.0)
        rows.append(dataclasses.replace(row, value=value(row)))

    for epoch in range(epochs):
        for layer in layer_names(blocks):
            for split in SPLITS:
                for label in LABELS:
                    for reducer in ("none", "tsne", "input_removed"):
                        for score in CLUSTER_SCORES:
                            add(epoch, split, layer, label, reducer, score)
                for label in (*LABELS, "position"):
                    add(epoch, split, layer, label, "none", "variance_share")
            add(epoch, "validation", layer, "task", "none", "knn_percentage")
            add(epoch, "validation", layer, "output", "none", "knn_accuracy")
            add(epoch, "validation", layer, "task", "none", "knn_task_accuracy")
    return rows


def metric_records(epochs: int = 9, best: int = 5) -> list[dict]:
    """Losses that fall, and accuracies that stay near zero for four epochs, rise, and are highest at `best`."""
    records = []
    for epoch in range(epochs):
        accuracy = 0.01 if epoch < 4 else 0.95 - 0.02 * abs(epoch - best)
        losses = {"training_subset_loss": 3.2 * (1 - accuracy), "validation_loss": 3.3 * (1 - accuracy)}
        if epoch:
            losses["training_loss"] = 3.4 * 0.9**epoch
        accuracies = {"training_subset_accuracy": accuracy - 0.005, "validation_accuracy": accuracy}
        records.append({"run": "main", "seed": 0, "epoch": epoch, "step": 10 * epoch, **losses, **accuracies})
    return records


def write_rows(workdir: Path, rows: list[ScoreRow]) -> None:
    with (workdir / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in dataclasses.fields(ScoreRow))
        writer.writerows(dataclasses.astuple(row) for row in rows)


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


def write_facts(workdir: Path, best: int = 5) -> None:
    facts = {
        "dataset": {
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
        },
        "model": {"parameters": 55360, "hidden_dim": 32, "ffn_dim": 64, "layers": 3, "heads": 8, "vocabulary": 62},
        "training": {"steps_per_epoch": 220, "padding_share": 0.03},
        "best": {"epoch": best, "step": 10 * best, "validation_accuracy": 0.95},
    }
    (workdir / "run.json").write_text(json.dumps(facts))
    (workdir / "config.json").write_text(json.dumps({"data": {"number_of_tasks": 50}, "model": {"hidden_dim": 32}}))
    (workdir / "env.json").write_text(json.dumps({"jax": "0.10.2", "devices": ["cpu"]}))
    stages = [
        {"stage": "train", "seconds": 61.2},
        {"stage": "analyse", "seconds": 30.0},
        {"stage": "train", "seconds": 60.0},
    ]
    (workdir / "timings.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in stages))


def write_run(workdir: Path, value: Value = like_the_paper) -> Path:
    """A whole run."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_rows(workdir, score_rows(value))
    write_metrics(workdir, metric_records())
    write_embeddings(workdir, (0, 2, 5, 8), ("2", "3"))
    write_facts(workdir)
    return workdir
