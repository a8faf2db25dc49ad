"""The report of a run: figures, tables, and one page to read, from what is in its work directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterlm_jax.records import SPLITS
from clusterlm_jax.report import claims
from clusterlm_jax.report.claims import Judgement
from clusterlm_jax.report.gallery import FIGURES, heading
from clusterlm_jax.report.plain import in_plain_words
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.run_tables import TABLES
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.words import REDUCERS, SPLIT_WORDS, duration, layer_words


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Draws everything a run has come to and writes `figures/`, `tables/` and `report.html`.

    Whatever has not been run is named in words in its place.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    run = mean_run(read_runs(workdir))
    judgements = claims.judge(run)
    return publish(
        workdir,
        "page.html",
        run,
        FIGURES,
        TABLES,
        spec,
        heading=lambda entry: heading(entry, run),
        run=run,
        headline=_headline(run, judgements),
        plain_words=in_plain_words(run),
        judgements=judgements,
        configuration=json.dumps(run.config, indent=2, sort_keys=True),
        environment=json.dumps(run.environment, indent=2, sort_keys=True),
    )


def _headline(run: Run, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
    """The run's main numbers, a name and words each."""
    model = run.facts.get("model", {})
    return [
        ("Run", _run_words(run)),
        ("Model", model_words(model)),
        ("Trained", _trained_words(run)),
        ("Best validation accuracy", _accuracy_words(run)),
        *((f"Highest task F1, {SPLIT_WORDS[split]}", _clusters_words(run, split)) for split in SPLITS),
        ("The paper's claims", verdict_words(judgements, bool(run.members))),
        ("Wall time by stage", ", ".join(f"{stage} {duration(s)}" for stage, s in run.seconds.items()) or "not run"),
    ]


def verdict_words(judgements: Sequence[Judgement], several_seeds: bool) -> str:
    """How many claims have each verdict."""
    verdicts = [judgement.verdict for judgement in judgements]
    possible = [verdict for verdict in claims.VERDICTS if several_seeds or verdict != claims.MIXED]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in possible)


def _run_words(run: Run) -> str:
    seeds = f"seed {run.seeds[0]}"
    if run.members:
        seeds = f"mean of the seeds {', '.join(map(str, run.seeds))}"
    experiment = run.config.get("experiment")
    return f"{run.name}{f' ({experiment})' if experiment else ''}, {seeds}"


def model_words(model: Mapping[str, Any]) -> str:
    """The size of a GPT-2."""
    if "parameters" not in model:
        return "not run"
    return (
        f"{model['parameters']:,} parameters: hidden {model['hidden_dim']}, feed-forward {model['ffn_dim']}, "
        f"{model['layers']} layers, {model['heads']} heads"
    )


def _trained_words(run: Run) -> str:
    epochs = [epoch for curve in run.metrics.values() for epoch in curve]
    if not epochs:
        return "not run"
    steps = run.facts.get("training", {}).get("steps_per_epoch")
    return f"{max(epochs)} epochs" + (f" of {steps:,} steps" if steps else "")


def _accuracy_words(run: Run) -> str:
    seeds = [
        f"{accuracy:.3f} at epoch {member.best_epoch}" + (f" (seed {seed})" if run.members else "")
        for seed, member in zip(run.seeds, run.each_seed, strict=True)
        if (accuracy := member.metrics.get("validation_accuracy", {}).get(member.best_epoch)) is not None
    ]
    return f"{', '.join(seeds)} (the paper's best epoch: 51)" if seeds else "not run"


def _clusters_words(run: Run, split: str) -> str:
    """The best task F1 of all analysed layers and epochs, and where it is."""
    try:
        cells = [
            (value, layer, epoch)
            for layer in run.layers
            for epoch, value in run.curve("f1", "task", split, layer).items()
        ]
        value, layer, epoch = max(cells)
    except (NotRun, ValueError):
        return "not run"
    return f"{value:.3f} at {layer_words(layer)}, epoch {epoch} ({REDUCERS[run.reducer]})"
