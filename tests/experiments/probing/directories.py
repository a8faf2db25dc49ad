"""Small work directories of probing runs by formula, as a run leaves them; no model."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from clusterlm_jax.experiments.probing.probe import Probe, read_probes
from clusterlm_jax.records import FINAL_NORM, ScoreRow, layer_names
from tests.report.work_directories import CLUSTER_SCORES, write_rows

LABELS = ("task", "distribution", "distribution_mapping")
NULL_LABELS = ("shuffled_task", "shuffled_distribution", "shuffled_distribution_mapping", "regrouped_task")
REDUCERS = ("none", "tsne")
SCORES = ("f1", "ari", "ami")
CATEGORIES = ("Translation", "Linguistic", "Knowledge")
TASKS = (
    *("French to English", "English to French", "Spanish to English"),
    *("English to Spanish", "Italian to English", "English to Italian"),
    *("Antonyms", "plural to Singular", "Singular to plural"),
    *("Present to gerund", "Present to past perfect", "Present to past simple"),
    *("Country to Capital", "Location to continent", "Religion", "Person to Language"),
)
CATEGORY_OF = (0,) * 6 + (1,) * 6 + (2,) * 4
WORDS = "null/words"
MODELS = ("llama", "gptj", "random", "never")
Value = Callable[[ScoreRow], float]


def like_the_paper(row: ScoreRow, blocks: int = 8, best: int = 5, highest: float = 0.95, finest: float = 0.93) -> float:
    """Scores that rise to the `best` layer and fall a little after it; t-SNE is better; nulls are low."""
    if row.label.startswith("shuffled_"):
        return 0.36 if row.score == "f1" else 0.0
    if row.label.startswith("regrouped_"):
        return 0.5 if row.score == "f1" else 0.2
    if row.run == WORDS:
        return 0.55 if row.score == "f1" else 0.25
    layer = blocks + 1 if row.layer == FINAL_NORM else int(row.layer)
    height = math.exp(-(((layer - best) / (0.45 * blocks)) ** 2))
    if row.score == "variance_share":
        return {"position": 0.45 - 0.4 * height, "task": 0.05 + 0.15 * height}.get(row.label, 0.1 + 0.5 * height)
    ceiling = {"task": highest, "distribution": 0.57, "distribution_mapping": finest}[row.label]
    behind = 0.04 * CLUSTER_SCORES.index(row.score) + 0.06 * (row.reducer == "none")
    return max(0.1 + (ceiling - 0.1) * height - behind, 0.0)


GPTJ = functools.partial(like_the_paper, best=3, highest=0.89, finest=0.45)
UNTRAINED = functools.partial(like_the_paper, best=1, highest=0.45, finest=0.3)


def formula(value: Value, layer: str, reducer: str) -> list[float]:
    """The nine numbers of table 1 at a layer."""
    return [
        value(ScoreRow("main", 0, 0, 0, "test", layer, label, reducer, score, 0.0))
        for label in LABELS
        for score in SCORES
    ]


def score_rows(value: Value = like_the_paper, blocks: int = 8) -> list[ScoreRow]:
    """The rows of a run with the values of a formula."""
    cells = [("main", layer, reducer) for layer in layer_names(blocks) for reducer in REDUCERS]
    cells += [(WORDS, "0", reducer) for reducer in REDUCERS]
    rows = []
    for run, layer, reducer in cells:
        keys = [(label, score) for label in LABELS for score in CLUSTER_SCORES]
        keys += [(label, score) for label in NULL_LABELS for score in SCORES]
        if reducer == "none":
            keys += [(label, "variance_share") for label in (*LABELS, "position")]
        for label, score in keys:
            names = (run, 0, 0, 0, "test", layer, label, reducer, score)
            rows.append(ScoreRow(*names, value(ScoreRow(*names, 0.0))))
    return rows


def write_embeddings(workdir: Path, layers: Collection[str], wordings: int = 2, mappings: int = 3) -> None:
    """Points that gather by category, inside it by task, and inside that by word pair."""
    distribution_N, mapping_N = (
        column.ravel() for column in np.indices((len(TASKS), mappings, wordings)).astype(np.int32)[:2]
    )
    columns = {
        "task": np.array(CATEGORY_OF, np.int32)[distribution_N],
        "distribution": distribution_N,
        "distribution_mapping": distribution_N * mappings + mapping_N,
    }
    random = np.random.default_rng(0)
    coordinates_N3 = 3 * random.normal(size=(len(distribution_N), 3))
    for column, spread in zip(columns.values(), (40, 14, 7), strict=True):
        coordinates_N3 += spread * random.normal(size=(column.max() + 1, 3))[column]
    for layer in layers:
        path = workdir / "embeddings/main/seed=0/epoch=0000/test" / f"layer={layer}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, coordinates_N3=coordinates_N3.astype(np.float32), **columns)


def write_facts(workdir: Path, name: str, blocks: int, random_weights: bool = False, prompts: int = 8800) -> None:
    gptj = "gpt-j" in name
    facts = {
        "dataset": {
            "test": prompts,
            "tasks": 16,
            "categories": 3,
            "wordings": prompts // 10,
            "mappings": 158,
            "sha256": f"{prompts:064x}",
            "names": {"task": CATEGORIES, "distribution": TASKS},
        },
        "model": {
            "name": name,
            "architecture": "gptj" if gptj else "llama",
            "hidden_dim": 4096,
            "layers": blocks,
            "heads": 16 if gptj else 32,
            "parameters": 5_844_393_984 if gptj else 6_607_343_616,
            "compute_dtype": "bfloat16",
            "random_weights": random_weights,
            "checkpoint": f"somewhere/{name}",
        },
        "extraction": {"tokens": 151_234, "padding_share": 0.08, "longest": 41},
    }
    (workdir / "run.json").write_text(json.dumps(facts))
    (workdir / "config.json").write_text(json.dumps({"experiment": "probing", "checkpoint": f"somewhere/{name}"}))
    (workdir / "env.json").write_text(json.dumps({"packages": {"jax": "0.10.2"}}))
    stages = [{"stage": "extract", "seconds": 420.0}, {"stage": "analyse", "seconds": 3000.0}]
    (workdir / "timings.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in stages))


def write_probe(
    workdir: Path,
    value: Value = like_the_paper,
    name: str = "open_llama_7b",
    blocks: int = 8,
    random_weights: bool = False,
    prompts: int = 8800,
) -> Path:
    """A whole run."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_rows(workdir, score_rows(value, blocks))
    write_embeddings(workdir, layer_names(blocks))
    write_facts(workdir, name, blocks, random_weights, prompts)
    return workdir


def write_models(root: Path) -> Path:
    """Three of `MODELS`; the last is never run."""
    write_probe(root / "llama")
    write_probe(root / "gptj", GPTJ, name="gpt-j-6b", blocks=6)
    write_probe(root / "random", UNTRAINED, random_weights=True)
    return root


def probes_of(root: Path, *names: str) -> tuple[Probe, ...]:
    return read_probes({name: root / name for name in names})
