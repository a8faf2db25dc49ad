"""The paper's arguments about the clusters (3.2, B.1, G.2): by task or by surface, nested, before the accuracy."""

from __future__ import annotations

import itertools

from clusterlm_jax.experiments.emergence.timing import TIMED, half_rise, scored_spaces, timed_curves
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.claims import CLEAR, MARGIN, Finding, claim
from clusterlm_jax.report.run import NotRun, Run, measured
from clusterlm_jax.report.tables import NEVER, Spread, shown
from clusterlm_jax.report.training import ends, is_similar, series
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, NULLS, SPACES, SPLIT_WORDS, counted

MAJORITY = 0.5
HARD_KINDS = {"hard_leaving": "left their original's expression", "hard_matching": "still match it"}
OWN_NULLS = NULLS | {"shuffled": "by chance", "regrouped": "control task"}  # of neighbours and of the probe


def clusters_by(run: Run, label: str, threshold: float) -> Finding:
    """Whether the best block's F1 by a label is above a threshold and above layer 0, on both splits."""
    seen, numbers = [], []
    for split in SPLITS:
        layer, value = run.best_block(split=split, label=label, epoch=run.last)
        base = run.mean(split=split, label=label, layers=("0",), epochs=(run.last,), score="f1")
        seen.append(value > threshold and value > base + MARGIN)
        where = f"{SPLIT_WORDS[split].capitalize()}, epoch {run.last}"
        numbers.append(f"{where}: {value:.2f} (layer {layer}); layer 0: {base:.2f}.")
    return Finding(all(seen), tuple(numbers))


@claim(
    "Hard examples end in other clusters than the examples they were made from.",
    "3.2",
    "At the last epoch, in the block with the best task F1 of the training subset, more than "
    f"{MAJORITY:.0%} of the hard examples share a cluster with more of their own task than of their "
    "original's, and fewer with more of their original's.",
)
def hard_examples(run: Run) -> Finding:
    hard = run.facts.get("dataset", {}).get("hard_tasks")
    if not hard:
        raise NotRun("the data has no hard examples" if hard == 0 else "run.json does not say whether there are any")
    layer, own, original = hard_shares(run)
    f1 = run.mean(split="training_subset", layers=(layer,), epochs=(run.last,), score="f1")
    number = (
        f"Training subset, with {counted(hard, 'hard task')}, epoch {run.last}, layer {layer} (task F1 {f1:.2f}): of "
        f"the hard examples {own:.0%} sit with their own task, {original:.0%} with their original's, "
        f"{abs(1 - own - original):.0%} with neither."
    )
    of_kinds = []
    for kind, words in HARD_KINDS.items():
        accuracy, shares = run.metrics.get(f"{kind}_accuracy", {}).get(run.last), measured(hard_shares, run, kind)
        if accuracy is not None and shares:
            of_kinds.append(f"Of those that {words}: {shares[1]:.0%} and {shares[2]:.0%}; accuracy {accuracy:.2f}.")
    return Finding(own > MAJORITY and own > original, (number, *of_kinds))


def hard_shares(run: Run, kind: str = "hard") -> tuple[str, float, float]:
    """The block with the best task F1 of the training subset at the last epoch; its shares with own and original."""
    of = {"split": "training_subset"}
    layer, _ = run.best_block(epoch=run.last, **of)
    scores = (f"{kind}_with_own", f"{kind}_with_original")
    return layer, *(run.mean(layers=(layer,), epochs=(run.last,), score=score, **of) for score in scores)


@claim(
    "This eliminates the possibility that instances are grouped by similar instructions alone.",
    "3.2; argued from the hard examples",
    f"At the last epoch the best block's task F1 is over {MARGIN} above each null baseline, on both splits: "
    "the instructions' symbols without a model, the untrained model's best block, the tasks' distributions shuffled, "
    "and the labels shuffled.",
)
def not_by_surface(run: Run) -> Finding:
    seen, numbers = [], []
    for split in SPLITS:
        layer, value = run.best_block(split=split, epoch=run.last)
        nulls = run.null_values(split=split, layer=layer, epoch=run.last)
        if None in nulls.values():
            raise NotRun("the null baselines have not been scored")
        seen.append(value > max(nulls.values()) + MARGIN)
        words = ", ".join(f"{NULLS[name]} {null:.2f}" for name, null in nulls.items())
        numbers.append(f"{SPLIT_WORDS[split].capitalize()}, epoch {run.last}: {value:.2f} (layer {layer}); {words}.")
    return Finding(all(seen), tuple(numbers))


@claim(
    "Instances with instructions from different distributions are clustered together by their task.",
    "3.2; argued there from a high task F1",
    "At the last epoch, in the top block, neighbours of other distributions share the task, and a linear probe "
    f"tells it of distributions it never saw, each over {MARGIN} above all its null baselines: chance or the "
    "control task, the untrained model's best block, the input symbol alone (layer 0), and the instructions' "
    "symbols without a model.",
)
def across_distributions(run: Run) -> Finding:
    seen, numbers = [], []
    for score, words in (
        ("across", "Neighbours of other distributions with the same task"),
        ("probe_validation", "Accuracy of the linear probe on distributions it never saw"),
    ):
        by_layer = [run.mean(layers=(layer,), epochs=(run.last,), score=score) for layer in run.indices]
        nulls = _nulls_at_last(run, score)
        # Tasks share inputs unevenly, so the input symbol alone (layer 0) may score a little above chance.
        seen.append(by_layer[-1] > max(by_layer[0], *nulls.values()) + MARGIN)
        numbers.append(
            f"{words}, validation, epoch {run.last}, layers 0 to {run.top}: {series(by_layer)}; "
            f"{', '.join(f'{OWN_NULLS[name]} {value:.2f}' for name, value in nulls.items())}."
        )
    return Finding(all(seen), (*numbers, *_by_input(run)))


def _nulls_at_last(run: Run, score: str) -> dict[str, float]:
    nulls = {name: curve[run.last] for name, curve in run.null_curves(score=score).items() if run.last in curve}
    if not nulls:
        raise NotRun("the null baselines have not been scored")
    return nulls


def _by_input(run: Run) -> tuple[str, ...]:
    """Whether the neighbours share the task only together with the input symbol."""
    words = []
    for score, kind in (("across_same_input", "the same input symbol"), ("across_other_input", "another input symbol")):
        value, chance = (
            run.curve(layer=run.top, label=label, score=score).get(run.last) for label in ("task", "shuffled_task")
        )
        if value is None or chance is None:
            return ()
        words.append(f"{value:.2f} among those with {kind} (by chance {chance:.2f})")
    return (f"Layer {run.top}: {' and '.join(words)}.",)


@claim(
    "The clusters are nested: tasks are the coarse level, distributions and mappings lie inside them.",
    "3.2, figure 2",
    "In Ward's tree of the top block's states the best cut by task has fewer clusters than that by "
    "distribution, and that one fewer than by distribution-mapping; the best task F1 is "
    f"{MARGIN} above every null and above the best F1 by input symbol.",
)
def nested(run: Run) -> Finding:
    f1, clusters = (
        {
            label: run.mean(label=label, layers=(run.top,), epochs=(run.last,), score=score)
            for label in (*LABELS, "input")
        }
        for score in ("tree_f1", "tree_clusters")
    )
    null = max(_nulls_at_last(run, "tree_f1").values())
    inside = all(clusters[coarse] < clusters[fine] for coarse, fine in itertools.pairwise(LABELS))
    words = ", ".join(
        f"{LABEL_WORDS[label]} {f1[label]:.2f} at {counted(round(clusters[label]), 'cluster')}" for label in f1
    )
    number = (
        f"Best F1 over all cuts, validation, epoch {run.last}, layer {run.top}: {words}; "
        f"the highest null by task {null:.2f}."
    )
    return Finding(inside and f1["task"] > max(null, f1["input"]) + MARGIN, (number,))


@claim(
    "The model first learns to identify tasks (clusters), which then lets it solve them: clusters by task "
    "appear before the accuracy rises.",
    "3.2, figure 3; a hypothesis there",
    "Task clusters of validation have covered half the way from their first to their highest F1 (best block of "
    "each epoch) strictly before the accuracy has covered half of its own.",
)
def clusters_before_accuracy(run: Run) -> Finding:
    ends(run)  # raises NotRun before a second analysis: until then no cluster has had time to rise
    timed = timed_curves(run, run.reducer)
    halves = {name: half_rise(curve) for name, curve in timed.items()}
    if "task" not in halves or halves.get("accuracy", NEVER) == NEVER:
        raise NotRun("the validation accuracy has not risen, or the task clusters have not been scored")
    curves = ", ".join(f"{TIMED[name]} {shown(halves[name])}" for name in sorted(halves, key=halves.__getitem__))
    tasks = {space: half_rise(timed_curves(run, space)["task"]) for space in scored_spaces(run)}
    spaces = ", ".join(f"{SPACES[space]} {shown(epoch)}" for space, epoch in tasks.items())
    numbers = (
        f"Epoch of half the rise, validation, best block: {curves}.",
        f"Clusters by task in each space: {spaces}.",
        f"Up to epoch {max(at for at in timed['task'] if at < halves['task'])} no analysis shows half the rise of the "
        "task clusters; the accuracy is known at every epoch.",
    )
    return Finding(halves["task"] < halves["accuracy"], numbers)


@claim(
    "Over three seeds results vary more on the training subset, from learning the hard examples.",
    "G.2, figure 11",
    "The standard deviation over the seeds of task F1 (mean of the blocks and of the epochs from the best one "
    "on) is larger on the training subset. Whether the seeds agree, the other verdicts say.",
    all_seeds=True,
)
def varies_on_training_subset(run: Run) -> Finding:
    if not run.members:
        raise NotRun("one seed only")
    spreads = {
        split: Spread(
            tuple(seed.mean(split=split, layers=run.blocks, epochs=run.late_epochs, score="f1") for seed in run.members)
        )
        for split in SPLITS
    }
    numbers = (
        f"{SPLIT_WORDS[split].capitalize()}: {', '.join(f'{value:.3f}' for value in spread.values)} "
        f"(standard deviation {spread.deviation:.3f})."
        for split, spread in spreads.items()
    )
    return Finding(spreads["training_subset"].deviation > spreads["validation"].deviation, tuple(numbers))


@claim(
    "Instances of similar tasks (one task identity) cluster together, and those of identical tasks (one "
    "distribution) form more specific, lower-level clusters.",
    "B.1, figure 14",
    "The tasks are similar; at the last epoch the best block's task F1 and distribution F1 are above "
    f"{CLEAR}, and {MARGIN} above layer 0, on both splits.",
)
def similar_tasks(run: Run) -> Finding:
    if not is_similar(run):
        raise NotRun("the tasks of this run are not similar")
    findings = {label: clusters_by(run, label, CLEAR) for label in ("task", "distribution")}
    numbers = (f"By {LABEL_WORDS[label]}: {n}" for label, finding in findings.items() for n in finding.numbers)
    return Finding(all(finding.seen for finding in findings.values()), tuple(numbers))
