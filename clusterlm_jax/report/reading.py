"""The files of a work directory -> a `Run`, as far as the run has come."""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clusterlm_jax.analysis.table import read_rows
from clusterlm_jax.records import ScoreRow, UserError
from clusterlm_jax.report.run import Curve, Key, Run
from clusterlm_jax.workdir import read_json, read_jsonl

MAIN = "main"


def read_run(workdir: Path) -> Run:
    """Reads the main run of a work directory; what is not there yet is left empty.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    if not workdir.is_dir():
        raise UserError(f"There is no work directory {workdir}; run the earlier stages first.")
    scores = workdir / "scores.csv"
    rows = [row for row in read_rows(scores) if row.run == MAIN] if scores.exists() else []
    records = [record for record in read_jsonl(workdir / "metrics.jsonl") if record["run"] == MAIN]
    seeds = tuple(sorted({row.seed for row in rows} | {record["seed"] for record in records})) or (0,)
    return Run(
        name=workdir.resolve().name,
        seed=seeds[0],
        seeds=seeds,
        curves=_curves(row for row in rows if row.seed == seeds[0]),
        metrics=_metrics(record for record in records if record["seed"] == seeds[0]),
        facts=read_json(workdir / "run.json"),
        config=read_json(workdir / "config.json"),
        environment=read_json(workdir / "env.json"),
        seconds=_seconds(read_jsonl(workdir / "timings.jsonl")),
        embeddings=_embeddings(workdir / "embeddings" / MAIN / f"seed={seeds[0]}"),
    )


def _curves(rows: Iterable[ScoreRow]) -> dict[Key, Curve]:
    curves: dict[Key, dict[int, float]] = collections.defaultdict(dict)
    for row in rows:
        curves[row.split, row.layer, row.label, row.reducer, row.score][row.epoch] = row.value
    return {key: dict(sorted(curve.items())) for key, curve in curves.items()}


def _metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Curves of the numbers in the records; an untrained model has no training loss, so a name may miss an epoch."""
    curves: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for record in records:
        for name in record.keys() - {"run", "seed", "epoch", "step"}:
            if record[name] is not None and math.isfinite(record[name]):
                curves[name][record["epoch"]] = record[name]
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _seconds(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Wall time by stage; a stage that was resumed has several entries."""
    total: dict[str, float] = collections.defaultdict(float)
    for record in records:
        total[record["stage"]] += record["seconds"]
    return dict(total)


def _embeddings(directory: Path) -> dict[str, dict[int, Path]]:
    """Files of the validation split by layer and epoch, epochs ascending."""
    found: dict[str, dict[int, Path]] = collections.defaultdict(dict)
    for path in sorted(directory.glob("epoch=*/validation/layer=*.npz")):
        epoch, layer = re.fullmatch(
            r"epoch=(\d+)/validation/layer=(.+)\.npz", str(path.relative_to(directory))
        ).groups()
        found[layer][int(epoch)] = path
    return {layer: dict(sorted(paths.items())) for layer, paths in found.items()}
