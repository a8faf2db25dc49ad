"""The files of a work directory -> a `Run`, as far as the run has come."""

from __future__ import annotations

import collections
import dataclasses
import math
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clusterlm_jax.analysis.scoring.columns import Scores, read_scores
from clusterlm_jax.files import read_arrays, read_json, read_jsonl
from clusterlm_jax.records import UserError
from clusterlm_jax.report.run import Curve, Embeddings, Key, NotRun, Run
from clusterlm_jax.workdir import WorkDir

MAIN, SYMBOLS = "main", "null/symbols"
SECTIONS_BY_SEED = ("dataset", "training", "best")  # of run.json


def read_main(workdir: Path) -> Run:
    """The main training of a work directory, the mean of its seeds.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    return mean_run(read_phases(workdir, (MAIN,))[MAIN])


def read_phases(workdir: Path, names: Sequence[str]) -> dict[str, tuple[Run, ...]]:
    """The phases of a work directory by name, a run for each seed, lowest first; what is not there yet is left empty.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    files = read_files(workdir)
    rows: Scores = files.pop("rows")
    records = [record for record in files.pop("records") if record["run"] in names]
    facts = files.pop("facts")
    seeds = sorted({*np.unique(rows.seed).tolist(), *(record["seed"] for record in records)}) or [0]
    phases = {}
    for name in names:
        own = facts | facts.get("phases", {}).get(name, {})
        runs = tuple(
            Run(
                seeds=(seed,),
                curves=curves_of(rows[rows.run.is_(name) & (rows.seed == seed)]),
                metrics=_metrics(r for r in records if r["seed"] == seed and r["run"] == name),
                symbols=_last_values(rows[rows.run.is_(SYMBOLS) & (rows.seed == seed)]),
                facts=own | {section: own.get(section, {}).get(str(seed), {}) for section in SECTIONS_BY_SEED},
                embeddings=_embeddings(workdir / "embeddings" / name / f"seed={seed}"),
                **files,
            )
            for seed in seeds
        )
        phases[name] = _with_one_reducer(runs)
    return phases


def read_files(workdir: Path) -> dict[str, Any]:
    """What a work directory holds: score rows, metrics records, facts, and what is said of the run as a whole.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    if not workdir.is_dir():
        raise UserError(f"There is no work directory {workdir}; run the earlier stages first.")
    scores = workdir / "scores.csv"
    seconds: dict[str, float] = collections.defaultdict(float)
    for record in read_jsonl(workdir / "timings.jsonl"):  # a stage that was resumed has several
        seconds[record["stage"]] += record["seconds"]
    return {
        "name": name_of(workdir),
        "rows": read_scores(scores) if scores.exists() else Scores.none(),
        "records": WorkDir(workdir).metrics_rows(),
        "facts": read_json(workdir / "run.json"),
        "config": read_json(workdir / "config.json"),
        "environment": read_json(workdir / "env.json"),
        "seconds": dict(seconds),
    }


def _with_one_reducer(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """All seeds with the reducer that is better for their mean, so that their numbers can be compared."""
    if len(runs) == 1:
        return runs
    try:
        reducer = mean_run(runs).reducer
    except NotRun:
        return runs
    return tuple(dataclasses.replace(run, common_reducer=reducer) for run in runs)


def mean_run(runs: Sequence[Run]) -> Run:
    """The mean of several seeds, with the sample standard deviation beside it; a single one is itself.

    Curves are those all seeds have, over the epochs all of them have; embeddings and sizes are the first seed's.
    """
    if len(runs) == 1:
        return runs[0]
    curves, metrics = (over_seeds([getattr(run, name) for run in runs]) for name in ("curves", "metrics"))
    shared = set.intersection(*(set(run.symbols) for run in runs))
    return dataclasses.replace(
        runs[0],
        seeds=tuple(seed for run in runs for seed in run.seeds),
        curves=curves[0],
        metrics=metrics[0],
        symbols={key: float(np.mean([run.symbols[key] for run in runs])) for key in shared},
        facts={name: value for name, value in runs[0].facts.items() if name != "best"},  # the mean has its own
        deviations=curves[1] | metrics[1],
        members=tuple(runs),
    )


def over_seeds(curves_Z: Sequence[Mapping[Any, Curve]]) -> tuple[dict[Any, Curve], dict[Any, Curve]]:
    """Mean and sample standard deviation of the curves that all seeds have, by name; no deviation of one seed."""
    means, deviations = {}, {}
    for key in set.intersection(*map(set, curves_Z)):
        epochs = sorted(set.intersection(*(set(curves[key]) for curves in curves_Z)))
        value_ZE = np.array([[curves[key][epoch] for epoch in epochs] for curves in curves_Z])
        means[key] = dict(zip(epochs, value_ZE.mean(axis=0).tolist(), strict=True))
        if len(curves_Z) > 1:
            deviations[key] = dict(zip(epochs, value_ZE.std(axis=0, ddof=1).tolist(), strict=True))
    return means, deviations


def name_of(directory: Path) -> str:
    """The name of a work directory or a checkpoint as figures and pages show it: in one line."""
    return " ".join(directory.resolve().name.split())


def address_of(workdir: Path, into: Path) -> str:
    """The address of a work directory's own page, relative to a page in `into`; empty where there is none."""
    page = workdir / "report.html"
    return urllib.parse.quote(os.path.relpath(page, into)) if page.exists() else ""


def read_space(path: Path, *labels: str) -> dict[str, np.ndarray]:
    """A file of t-SNE coordinates: `coordinates_N3`, and the labels of the instances, int32 [instance] by column.

    Raises:
      UserError: it is no such file, a damaged one, or lacks one of these labels.
    """
    try:
        space = read_arrays(path)
        lengths = {len(space[name]) for name in (*space, *labels)}
        if space["coordinates_N3"].shape != (*lengths, 3):
            raise ValueError("as many points as labels are needed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of t-SNE coordinates ({error}): delete it to go without.") from error
    return space


def curves_of(rows: Scores) -> dict[Key, Curve]:
    """Curves of the defined values: shares of hard examples are undefined where there are none."""
    group_M = rows.groups(*Key._fields)
    order_M = np.lexsort((rows.epoch, group_M))
    order_M = order_M[np.isfinite(rows.value[order_M])]
    starts = np.flatnonzero(np.diff(group_M[order_M], prepend=-1))
    keys = [Key(row.split, row.layer, row.label, row.reducer, row.score) for row in rows[order_M[starts]]]
    epoch_M, value_M = rows.epoch[order_M], rows.value[order_M]
    ends = np.append(starts[1:], len(order_M))
    return {
        key: dict(zip(epoch_M[start:end].tolist(), value_M[start:end].tolist(), strict=True))
        for key, start, end in zip(keys, starts, ends, strict=False)  # without rows there is an end too many
    }


def _last_values(rows: Scores) -> dict[Key, float]:
    return {Key(row.split, row.layer, row.label, row.reducer, row.score): row.value for row in rows}


def _metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Curves of the numbers in the records; an untrained model has no training loss, so a name may miss an epoch."""
    curves: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for record in records:
        for name in record.keys() - {"run", "seed", "epoch", "step"}:
            if record[name] is not None and math.isfinite(record[name]):
                curves[name][record["epoch"]] = record[name]
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _embeddings(directory: Path) -> Embeddings:
    """Files by split, layer and epoch, epochs ascending."""
    found: dict[str, dict[str, dict[int, Path]]] = collections.defaultdict(lambda: collections.defaultdict(dict))
    for path in sorted(directory.glob("epoch=*/*/layer=*.npz")):
        name = str(path.relative_to(directory))
        epoch, split, layer = re.fullmatch(r"epoch=(\d+)/(.+)/layer=(.+)\.npz", name).groups()
        found[split][layer][int(epoch)] = path
    return {
        split: {layer: dict(sorted(paths.items())) for layer, paths in layers.items()}
        for split, layers in found.items()
    }
