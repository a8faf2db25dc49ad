"""How the paper's arguments about the clusters are measured: by surface or by task, before accuracy, over seeds."""

from __future__ import annotations

import numpy as np

from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.measures import CLEAR, MARGIN, Finding, clusters_by
from clusterlm_jax.report.nulls import NULLS, null_values
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.timing import NEVER, TIMED, half_rise, scored_spaces, spacing, timed_curves
from clusterlm_jax.report.words import LABEL_WORDS, SPACES, SPLIT_WORDS

MAJORITY = 0.5


def hard_examples(run: Run) -> Finding:
    hard = run.facts.get("dataset", {}).get("hard_tasks")
    if not hard:
        raise NotRun("the data has no hard examples" if hard == 0 else "run.json does not say whether there are any")
    layer, own, original = hard_shares(run)
    last = run.moments["last"]
    f1 = run.mean("f1", "task", "training_subset", (layer,), (last,))
    number = (
        f"Training subset, with {hard} hard tasks, epoch {last}, layer {layer} (task F1 {f1:.2f}): of the hard "
        f"examples {own:.0%} sit with their own task, {original:.0%} with their original's, "
        f"{1 - own - original:.0%} with neither."
    )
    return Finding(own > MAJORITY and own > original, (number,))


def hard_shares(run: Run) -> tuple[str, float, float]:
    """The block with the best task F1 of the training subset at the last epoch, and its shares of hard examples.

    Returns:
      The block; the share with their own task; the share with their original's.
    """
    last = run.moments["last"]
    layer, _ = run.best_block("task", "training_subset", last)
    own, original = (
        run.mean(f"hard_with_{whose}", "task", "training_subset", (layer,), (last,)) for whose in ("own", "original")
    )
    return layer, own, original


def not_by_surface(run: Run) -> Finding:
    last = run.moments["last"]
    seen, numbers = [], []
    for split in SPLITS:
        layer, value = run.best_block("task", split, last)
        nulls = null_values(run, "f1", split, layer, last)
        if None in nulls.values():
            raise NotRun("the null baselines have not been scored")
        seen.append(value > max(nulls.values()) + MARGIN)
        words = ", ".join(f"{NULLS[name]} {null:.2f}" for name, null in nulls.items())
        numbers.append(f"{SPLIT_WORDS[split].capitalize()}, epoch {last}: {value:.2f} (layer {layer}); {words}.")
    return Finding(all(seen), tuple(numbers))


def clusters_before_accuracy(run: Run) -> Finding:
    halves = {name: half_rise(curve) for name, curve in timed_curves(run, run.reducer).items()}
    if "task" not in halves or halves.get("accuracy", NEVER) == NEVER:
        raise NotRun("the validation accuracy has not risen, or the task clusters have not been scored")
    curves = ", ".join(f"{TIMED[name]} {_epoch(halves[name])}" for name in sorted(halves, key=halves.__getitem__))
    tasks = {space: half_rise(timed_curves(run, space)["task"]) for space in scored_spaces(run)}
    spaces = ", ".join(f"{SPACES[space]} {_epoch(epoch)}" for space, epoch in tasks.items())
    numbers = (
        f"Epoch of half the rise, validation, best block: {curves}.",
        f"Clusters by task in each space: {spaces}.",
        f"Between two analyses lie up to {spacing(run)} epochs, so clusters may have come that much earlier; the "
        "accuracy is known at every epoch.",
    )
    return Finding(halves["task"] < halves["accuracy"], numbers)


def varies_on_training_subset(run: Run) -> Finding:
    if not run.members:
        raise NotRun("one seed only")
    values = {
        split: [member.mean("f1", "task", split, run.blocks, run.late_epochs) for member in run.members]
        for split in SPLITS
    }
    deviations = {split: float(np.std(values[split], ddof=1)) for split in SPLITS}
    numbers = tuple(
        f"{SPLIT_WORDS[split].capitalize()}: {', '.join(f'{value:.3f}' for value in values[split])} "
        f"(standard deviation {deviations[split]:.3f})."
        for split in SPLITS
    )
    return Finding(deviations["training_subset"] > deviations["validation"], numbers)


def similar_tasks(run: Run) -> Finding:
    if run.config.get("data", {}).get("shared_mappings") is None:
        raise NotRun("the tasks of this run are not similar")
    findings = {label: clusters_by(run, label, CLEAR) for label in ("task", "distribution")}
    numbers = (f"By {LABEL_WORDS[label]}: {n}" for label, finding in findings.items() for n in finding.numbers)
    return Finding(all(finding.seen for finding in findings.values()), tuple(numbers))


def _epoch(epoch: float) -> str:
    return "never" if epoch == NEVER else f"{epoch}"
