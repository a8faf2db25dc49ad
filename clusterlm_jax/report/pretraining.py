"""The report of pre-training with task identities, and of several such runs side by side (paper 4.1, figure 5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax.report import claims
from clusterlm_jax.report.claims import Judgement
from clusterlm_jax.report.page import model_words, verdict_words
from clusterlm_jax.report.pretraining_claims import CLAIMS
from clusterlm_jax.report.pretraining_figures import FIGURES
from clusterlm_jax.report.pretraining_tables import TABLES
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.starts import (
    STARTS,
    THRESHOLDS,
    Starts,
    best_accuracy,
    epochs_to,
    last_epoch,
    of_each_seed,
    read_starts,
    together,
)
from clusterlm_jax.report.tables import shown
from clusterlm_jax.report.words import duration


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Draws everything a run has come to and writes `figures/`, `tables/` and `report.html`.

    Whatever has not been run is named in words in its place.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    starts = read_starts(workdir)
    judgements = claims.judge(starts, CLAIMS)
    return publish(
        workdir,
        "pretraining.html",
        starts,
        FIGURES,
        TABLES,
        spec,
        heading=lambda entry: f"Figure {entry.number}: {entry.title}" if entry.number else f"{entry.title} (ours)",
        run=starts,
        headline=_headline(starts, judgements),
        judgements=judgements,
        numbers="numbers are each seed's in turn, or those of their mean",
        configuration=json.dumps(starts.clusters.config, indent=2, sort_keys=True),
        environment=json.dumps(starts.clusters.environment, indent=2, sort_keys=True),
    )


def _headline(starts: Starts, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
    """The main numbers, a name and words each."""
    run = starts.clusters
    seeds = ", ".join(map(str, starts.seeds))
    return [
        ("Run", f"{starts.name}, {f'mean of the seeds {seeds}' if starts.members else f'seed {seeds}'}"),
        ("Model", model_words(run.facts.get("model", {}))),
        *((words[0].upper() + words[1:], start_words(starts, start)) for start, words in STARTS.items()),
        ("The paper's claims", verdict_words(judgements, bool(starts.members))),
        ("Wall time by stage", ", ".join(f"{s} {duration(t)}" for s, t in run.seconds.items()) or "not run"),
    ]


def start_words(starts: Starts, start: str) -> str:
    """How far fine-tuning comes from a start, and when."""
    if last_epoch(starts.fine_tuning(start)) < 0:
        return "not run"
    best = shown(together(of_each_seed(starts, lambda seed: best_accuracy(seed, start))))
    words = [f"best validation accuracy {best}"]
    for threshold in THRESHOLDS:
        epoch = shown(together(of_each_seed(starts, lambda seed, t=threshold: epochs_to(seed, start, t))))
        words.append(f"{threshold} {epoch}" if epoch.startswith("never") else f"{threshold} at epoch {epoch}")
    return ", ".join(words)
