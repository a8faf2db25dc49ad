"""Small work directories of the three starts by formula, as a run leaves them; no model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from clusterlm_jax.experiments.pretraining.starts import PHASES
from clusterlm_jax.records import SPLITS, ScoreRow, layer_names
from tests.report.work_directories import CLUSTER_SCORES, SCORES, SYMBOLS, write_metrics, write_rows

EPOCHS = 10
SEEDS = (0, 1, 2)
BLOCKS = 2
HALF = {"task_id": 3, "instruction": 5, "none": 6}  # epochs of fine-tuning after which seed 0 is at .5
HIGHEST = {"task_id": 0.95, "instruction": 0.85, "none": 0.8}
LABELS = ("task", "distribution")
HARD = (("task", "hard_with_own"), ("task", "hard_with_original"))
Accuracy = Callable[[str, int, int], float]  # of start, seed, epoch


def like_the_paper(start: str, seed: int, epoch: int) -> float:
    """Task-ID pre-training rises sooner and ends higher in every seed; each later seed is an epoch behind."""
    half = HALF[start] + seed
    rising = 0.5 * epoch / half if epoch <= half else 0.5 + 0.2 * (epoch - half)
    return min(rising, HIGHEST[start] - 0.01 * seed * (start == "none"))


def metric_records(accuracy: Accuracy = like_the_paper, seeds=SEEDS, epochs: int = EPOCHS) -> list[dict]:
    """Of every phase. Of instructions alone the loss is least at epoch 6; task-ID accuracy is highest at epoch 4."""
    records = []
    for run in PHASES:
        start, phase = run.split("/")
        for epoch in range(epochs + 1):
            for seed in seeds:
                value = accuracy(start, seed, epoch) if phase == "finetune" else 0.9 - 0.02 * abs(epoch - 4)
                values = {
                    "training_loss": 4 - 0.2 * epoch,
                    "training_subset_accuracy": value - 0.05,
                    "validation_accuracy": value,
                    "validation_loss": 3 - 0.1 * epoch,
                    "validation_sequence_loss": 2 + 0.1 * abs(epoch - 6) + 0.01 * seed,
                }
                records.append({"run": run, "seed": seed, "epoch": epoch, "step": 7 * epoch, **values})
    return records


def score_rows(seeds=SEEDS, rises: bool = True) -> list[ScoreRow]:
    """Clusters at the trigger that rise over pre-training, or stay as they are; nulls are low."""
    cells = [("task_id/pretrain", epoch, layer) for epoch in (0, 5, EPOCHS) for layer in layer_names(BLOCKS)] + [
        (SYMBOLS, 0, "0")
    ]
    keys = [(label, score) for label in LABELS for score in CLUSTER_SCORES]
    keys += [(null, s) for null in ("shuffled_task", "shuffled_distribution", "regrouped_task") for s in SCORES]
    return [
        ScoreRow(
            run, seed, epoch, 7 * epoch, split, layer, label, reducer, score,
            0.2 if run == SYMBOLS or label not in LABELS else 0.3 + 0.05 * rises * epoch + 0.01 * seed,
        )
        for run, epoch, layer in cells
        for seed in seeds
        for split in SPLITS
        for label, score in [*keys, *(HARD if split == "training_subset" else ())]
        for reducer in ("none", "tsne")
    ]  # fmt: skip


def write_starts(
    workdir: Path,
    records: list[dict] | None = None,
    rows: list[ScoreRow] | None = None,
    seeds=SEEDS,
    chosen: Callable[[str, int], int] = lambda start, seed: {"task_id": 4, "instruction": 6}[start],
) -> Path:
    """A whole run, or what is given of one; returns its directory. `chosen` are the best epochs of pre-training."""
    workdir.mkdir(parents=True, exist_ok=True)
    records = metric_records(seeds=seeds) if records is None else records
    write_metrics(workdir, records)
    last = {(record["run"], record["seed"]): record["epoch"] for record in records}
    write_rows(workdir, score_rows(seeds=seeds) if rows is None else rows)
    size = {"training": 600, "training_subset": 60, "validation": 90, "tasks": 12, "hard_tasks": 2, "instructions": 150}
    batches = {  # fine-tuning asked for 13 instances, and got whole instructions of three
        "pretrain": {"steps_per_epoch": 20, "instances_per_step": 6},
        "finetune": {"steps_per_epoch": 50, "instances_per_step": 12},
    }
    phases = {
        run: {
            "training": {seed: batches[run.split("/")[1]] for seed in seeds},
            "best": {
                seed: {"epoch": chosen(run.split("/")[0], seed) if run.endswith("pretrain") else last[run, seed]}
                for seed in seeds
                if (run, seed) in last
            },
        }
        for run in PHASES
    }
    model = {"parameters": 1234, "hidden_dim": 16, "ffn_dim": 32, "layers": BLOCKS, "heads": 2, "vocabulary": 40}
    facts = {"dataset": dict.fromkeys(map(str, seeds), size), "model": model, "phases": phases}
    config = {
        "experiment": "pretraining",
        "seeds": seeds,
        "train": {"epochs": EPOCHS, "batch_size": 13},
        "pretrain": {"epochs": EPOCHS, "batch_size": 6},
    }
    (workdir / "run.json").write_text(json.dumps(facts))
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "timings.jsonl").write_text(json.dumps({"stage": "task_id/pretrain", "seconds": 61.0}) + "\n")
    return workdir


def table(workdir: Path, name: str) -> list[dict[str, str]]:
    with (workdir / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))
