"""Small work directories of the alignment experiment by formula, as a run leaves them; no model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

SEEDS = (0, 1, 2)
PAPER = {"direct": 0.21, "head": 0.12, "linear_switch": 0.087, "mlp_switch": 0.08}


def metrics_of(drops: dict[str, float], seed: int) -> list[dict]:
    """Rows of every method; with more examples a switch forgets less, on other layers as much."""
    rows = [
        {"run": phase, "epoch": epoch, "step": epoch, "validation_accuracy": 0.5 * epoch, "others_accuracy": 0.9}
        for phase in ("base", "direct/finetune", "head/finetune")
        for epoch in range(3)
    ]
    for kind, drop in drops.items():
        names = {kind: drop}
        if kind.endswith("switch"):
            names = {f"{kind}/examples={n}": drop / n for n in (1, 5)} | {f"{kind}/layer={n}": drop for n in "12"}
        for run, value in names.items():
            row = {"run": run, "epoch": 2, "step": 2, "source_accuracy": 1.0, "others_accuracy": 0.9 - value}
            row["accuracy_drop"] = value
            rows.append(row | ({"switch_recall": 1.0, "false_alarms": 2 * value} if "switch" in run else {}))
    for run in ("mean_switch/examples=1", "mean_switch/examples=5", "kmeans_switch/task"):
        rows.append({"run": run, "epoch": 2, "step": 2, "source_accuracy": 0.25, "others_accuracy": 0.9})
        rows[-1] |= {"accuracy_drop": 0.0, "switch_recall": 0.125, "false_alarms": 0.0625}
    rows.append(rows[-1] | {"run": "kmeans_switch/distribution_mapping"})
    return [{"seed": seed} | row for row in rows]


def tasks_of(seed: int) -> list[dict]:
    runs = ("linear_switch/examples=1", "mlp_switch/examples=1")
    roles = ("source", "target", "other")
    counts = {"instances": 20, "correct": 15, "switched_on": 7, "with_source_input": 8, "of_these_on": 6}
    return [{"run": r, "seed": seed, "task": t, "role": role, **counts} for r in runs for t, role in enumerate(roles)]


def write_rows(workdir: Path, drops_of_seeds: dict[int, dict[str, float]]) -> None:
    rows = [row for seed, drops in drops_of_seeds.items() for row in metrics_of(drops, seed)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [row for seed in drops_of_seeds for row in tasks_of(seed)]
    (workdir / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    best = {str(seed): {"epoch": 2, "step": 2, "validation_accuracy": 1.0} for seed in drops_of_seeds}
    phases = {name: {"best": best} for name in ("base", "direct/finetune", "head/finetune")}
    (workdir / "run.json").write_text(json.dumps({"phases": phases}))
    switch = {"examples": [1, 5], "layer": "final_norm"}
    (workdir / "config.json").write_text(json.dumps({"model": {"layers": 2}, "switch": switch}))


def with_noise(rng: np.random.Generator) -> dict[int, dict[str, float]]:
    """The paper's drops in three seeds, a little apart."""
    return {seed: {kind: drop + 0.002 * rng.random() for kind, drop in PAPER.items()} for seed in SEEDS}
