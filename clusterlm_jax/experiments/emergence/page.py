"""The page of the main experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterlm_jax.experiments.emergence.claims import CLAIMS
from clusterlm_jax.experiments.emergence.comparison import page as comparison
from clusterlm_jax.experiments.emergence.figures import FIGURES, heading
from clusterlm_jax.experiments.emergence.tables import TABLES
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.page import PAPER
from clusterlm_jax.report.paper import BEST_EPOCH
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run, measured
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.training import batches_words, publish_training
from clusterlm_jax.report.words import NULLS, REDUCERS, SPLIT_WORDS, counted, layer_words

INTRODUCTION = (
    "A GPT-2 was trained from scratch on synthetic instructions. The hidden states of the input token (the last "
    f"before the output) were clustered at every layer over the whole training, as in {PAPER}. "
    "This page compares our numbers with that paper's claims."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Draws everything a run has come to, and returns the path of its page; what was not run is named in its place.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    run = read_main(workdir)
    highest = {split: measured(_clusters_words, run, split) or "not run" for split in SPLITS}
    return publish_training(
        run,
        run,
        workdir,
        spec,
        question="Do clusters by task emerge?",
        introduction=INTRODUCTION,
        sentences=(_what_was_run, _accuracy, _kmeans, _across),
        lead="figure_instruments",
        facts=(
            ("Trained", _trained_words(run)),
            *((f"Highest task F1, {SPLIT_WORDS[split]}", words) for split, words in highest.items()),
        ),
        claims=CLAIMS,
        figures=FIGURES,
        tables=TABLES,
        heading=lambda entry: heading(entry, run),
    )


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, and returns its path."""
    return comparison.write(workdirs, into, spec)


def _what_was_run(run: Run) -> str:
    model, tasks = run.facts.get("model", {}), run.facts.get("dataset", {}).get("tasks")
    if not model or run.trained < 0:
        raise NotRun("nothing was trained")
    seeds = (
        f"seeds {', '.join(map(str, run.seeds))}; every number is their mean" if run.members else f"seed {run.seeds[0]}"
    )
    return (
        f"A GPT-2 with {counted(model['layers'], 'block')} of width {model['hidden_dim']} ({model['parameters']:,} "
        f"parameters) was trained on {counted(tasks, 'task')} for {run.trained} of {counted(run.whole, 'epoch')} "
        f"({seeds})."
    )


def _accuracy(run: Run) -> str:
    accuracy = run.metrics.get("validation_accuracy", {})
    if run.best_epoch not in accuracy:
        raise NotRun("there is no validation accuracy")
    return (
        f"Its answers to unseen instructions are right in {accuracy[run.best_epoch]:.1%} of the cases at the best "
        f"epoch, {run.best_epoch} (the paper's best epoch: {BEST_EPOCH})."
    )


def _kmeans(run: Run) -> str:
    """The paper's measure, with the highest of the null baselines."""
    layer, after = run.best_block(epoch=run.last)
    before = run.mean(layers=(layer,), epochs=(run.moments["first"],), score="f1")
    nulls = {name: value for name, value in run.null_values(layer=layer, epoch=run.last).items() if value is not None}
    highest = max(nulls, key=nulls.__getitem__, default=None)
    null = f"; the highest null baseline, {NULLS[highest]}, has {nulls[highest]:.2f}" if highest else ""
    return (
        f"The paper's measure, KMeans with as many clusters as tasks ({REDUCERS[run.reducer]}), finds the task of "
        f"unseen instructions with an F1 of at most {after:.2f} at epoch {run.last} ({layer_words(layer)}), and "
        f"{before:.2f} at epoch {run.moments['first']}{null}."
    )


def _across(run: Run) -> str:
    """The paper's claim itself, asked without KMeans."""
    across, chance = (
        run.mean(label=label, layers=(run.top,), epochs=(run.last,), score="across")
        for label in ("task", "shuffled_task")
    )
    before = run.mean(layers=(run.top,), epochs=(run.moments["first"],), score="across")
    probe, control = (
        run.mean(label=label, layers=(run.top,), epochs=(run.last,), score="probe_validation")
        for label in ("task", "regrouped_task")
    )
    return (
        f"Across instruction distributions, at epoch {run.last}: {across:.0%} of an unseen instance's nearest training "
        f"instances of other distributions share its task in the top block (at epoch {run.moments['first']} "
        f"{before:.0%}, by chance {chance:.0%}), and "
        f"a linear probe tells the task of distributions it never saw with accuracy {probe:.2f} (control task "
        f"{control:.2f})."
    )


def _trained_words(run: Run) -> str:
    if run.trained < 0:
        return "not run"
    accuracies = ", ".join(
        f"{accuracy:.3f} at epoch {member.best_epoch} (seed {seed})"
        for seed, member in zip(run.seeds, run.each_seed, strict=True)
        if (accuracy := member.metrics.get("validation_accuracy", {}).get(member.best_epoch)) is not None
    )
    trained = f"{counted(run.trained, 'epoch')}{batches_words(run)}"
    return f"{trained}; best validation accuracy {accuracies or 'not run'}"


def _clusters_words(run: Run, split: str) -> str:
    """The best task F1 of all analysed layers and epochs, and where it is."""
    curves = {layer: run.curve(split=split, layer=layer, score="f1") for layer in run.layers}
    cells = [(value, layer, epoch) for layer, curve in curves.items() for epoch, value in curve.items()]
    if not cells:
        raise NotRun("no layer has been scored")
    value, layer, epoch = max(cells)
    return f"{value:.3f} at {layer_words(layer)}, epoch {epoch} ({REDUCERS[run.reducer]})"
