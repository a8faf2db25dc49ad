"""The paper's claims about clusters over training and over the layers (3.2, 3.3, G.4), each rule above its code."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np

from clusterlm_jax.experiments.emergence import evidence
from clusterlm_jax.experiments.emergence.correlation import correlations
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.claims import CLEAR, HIGH, MARGIN, Claim, Finding, claim
from clusterlm_jax.report.paper import BEST_EPOCH, STRONG
from clusterlm_jax.report.run import Curve, NotRun, Run, measured
from clusterlm_jax.report.tables import NEVER, shown
from clusterlm_jax.report.training import ends, gains, series
from clusterlm_jax.report.words import INPUT_REMOVED, LABEL_WORDS, SPLIT_WORDS

NEAR_ZERO = 0.2  # accuracy; the input alone, shared by about ten tasks, is already right in .1 to .15
ORDERED = 0.5  # rank correlation from which a score "generally" increases over the layers
ABOVE_BASE = f"{MARGIN} above layer 0, on both splits"


@claim(
    "Clusters by task improve throughout training, on the training subset and on validation.",
    "3.2, figure 2",
    f"Mean task F1 of the blocks gains over {MARGIN} from the first to the last epoch, on both splits.",
)
def improves(run: Run) -> Finding:
    finding = gains(run)
    return Finding(finding.seen, (*finding.numbers, *filter(None, [measured(_variance, run)])))


def _variance(run: Run) -> str:
    """What KMeans follows, the largest differences: the share of variance by input symbol and by task."""
    shares = {
        label: [
            run.mean(label=label, layers=(block,), epochs=(run.last,), score="variance_share") for block in run.blocks
        ]
        for label in ("input", "task")
    }
    words = "; ".join(f"{LABEL_WORDS[label]} {series(values)}" for label, values in shares.items())
    return f"Variance explained at the last epoch ({run.last}), validation, block by block: {words}."


saturates = claim(
    "They saturate at high values.",
    "3.2, figures 2 and 6; no number given",
    f"At the last epoch the best block's task F1 is above {HIGH}, and {ABOVE_BASE}.",
)(partial(evidence.clusters_by, label="task", threshold=HIGH))


@claim(
    "Higher layers cluster by task better than lower ones; the word embedding (layer 0) hardly changes.",
    "3.2, figure 2",
    f"Late in training, task F1 on validation has a rank correlation above {ORDERED} with the layer and is "
    f"{MARGIN} higher in the top block than in layer 0; the top block gains more than twice what layer 0 moves.",
)
def higher_layers(run: Run) -> Finding:
    first, last = ends(run)
    late = [run.mean(layers=(layer,), epochs=run.late_epochs, score="f1") for layer in run.indices]
    base, top = (
        run.mean(layers=(layer,), epochs=(last,), score="f1") - run.mean(layers=(layer,), epochs=(first,), score="f1")
        for layer in ("0", run.top)
    )
    order = _order(late)
    numbers = (
        f"Task F1 on validation, mean over the analysed epochs from {run.late_epochs[0]} on, layers 0 to {run.top}: "
        f"{series(late)}; rank correlation with the layer {order:+.2f}.",
        f"From epoch {first} to {last}, layer 0 changes by {base:+.2f}, layer {run.top} by {top:+.2f}.",
    )
    return Finding(order > ORDERED and late[-1] > late[0] + MARGIN and top > 2 * abs(base), numbers)


by_distribution = claim(
    "There are obvious clusters by instruction distribution inside the task clusters.",
    "3.2, figure 2",
    f"At the last epoch the best block's distribution F1 is above {CLEAR}, and {ABOVE_BASE}.",
)(partial(evidence.clusters_by, label="distribution", threshold=CLEAR))
by_distribution_mapping = claim(
    "Clusters by distribution and mapping together are strong.",
    "3.2, figure 2",
    f"At the last epoch the best block's distribution-mapping F1 is above {HIGH}, and {ABOVE_BASE}.",
)(partial(evidence.clusters_by, label="distribution_mapping", threshold=HIGH))


@claim(
    "Those are generally better on validation than on the training subset, which holds the hard examples.",
    "3.2, figure 2",
    "From the best epoch on, the mean distribution-mapping F1 of the blocks is higher on validation.",
)
def validation_above(run: Run) -> Finding:
    of = {"label": "distribution_mapping", "layers": run.blocks, "epochs": run.late_epochs, "score": "f1"}
    means = {split: run.mean(split=split, **of) for split in SPLITS}
    words = ", ".join(f"{SPLIT_WORDS[split]} {value:.2f}" for split, value in means.items())
    return Finding(means["validation"] > means["training_subset"], (f"Mean over the blocks and late epochs: {words}.",))


@claim(
    "The clusters persist and even improve long after the early-stopping point.",
    "3.2, figure 2",
    f"The mean task F1 of the blocks has gained over {MARGIN} by the best epoch, and its mean over the later "
    f"epochs is at most {MARGIN} below its value there, on both splits.",
)
def persists(run: Run) -> Finding:
    first, best = run.moments["first"], run.moments["best"]
    after = [epoch for epoch in run.epochs if epoch > (run.best_epoch or 0)]
    if not after:
        raise NotRun("no epoch after the best one has been analysed")
    if best == first:
        raise NotRun("nothing analysed up to the best")
    seen, numbers = [], []
    for split in SPLITS:
        at_first, at_best, later = (
            run.mean(split=split, layers=run.blocks, epochs=epochs, score="f1") for epochs in ((first,), (best,), after)
        )
        seen.append(later >= at_best - MARGIN and at_best > at_first + MARGIN)
        numbers.append(
            f"{SPLIT_WORDS[split].capitalize()}: {at_first:.2f} at epoch {first}, {at_best:.2f} at epoch {best}, "
            f"{later:.2f} on average after it."
        )
    return Finding(all(seen), tuple(numbers))


@claim(
    "Accuracy stays near zero for the first few epochs and then rises abruptly, while the training loss falls "
    f"all along; the best epoch is {BEST_EPOCH}.",
    "3.2, figure 3",
    f"Both accuracies are at most {NEAR_ZERO} through epoch 3 and pass 0.5 later; the training loss falls "
    "at every epoch until the rise. How abrupt the rise is, the epochs say.",
)
def abrupt_rise(run: Run) -> Finding:
    loss = run.metrics.get("training_loss", {})
    accuracies = {split: run.metrics.get(f"{split}_accuracy", {}) for split in SPLITS}
    if min(map(len, (loss, *accuracies.values()))) < 4:
        raise NotRun("fewer than three epochs have been trained")
    risen, half = (
        {split: _first_above(curve, threshold) for split, curve in accuracies.items()} for threshold in (NEAR_ZERO, 0.5)
    )
    flat = max(min(*risen.values(), max(loss)), min(loss))  # an untrained model may have no training loss
    early = [value for epoch, value in loss.items() if epoch <= flat]
    falls = len(early) > 1 and all(later < earlier for earlier, later in itertools.pairwise(early))
    numbers = [
        f"{SPLIT_WORDS[split].capitalize()} accuracy: above {NEAR_ZERO} {_first(risen[split])}, "
        f"above 0.5 {_first(half[split])}, highest {max(curve.values()):.2f}."
        for split, curve in accuracies.items()
    ]
    falling = "" if falls else "not "
    upto = f"Training loss, epochs {min(loss)} to {flat}: {early[0]:.2f} to {early[-1]:.2f}"
    numbers.append(f"{upto}, {falling}falling all along.")
    numbers.append(f"Best epoch: {run.best_epoch}; the paper's: {BEST_EPOCH}.")
    return Finding(flat > 3 and NEVER not in half.values() and falls, tuple(numbers))


@claim(
    "More and more of an unseen instance's nearest training neighbours share its task, and kNN accuracy rises, "
    "over training and over the layers.",
    "3.3, figure 4",
    f"Both gain over {MARGIN} in the top block from the first to the last epoch; at the last epoch both have a "
    f"rank correlation above {ORDERED} with the layer and are {MARGIN} higher in the top block than in layer 0.",
)
def neighbours(run: Run) -> Finding:
    seen, numbers = [], []
    for score, label, words in (
        ("knn_percentage", "task", "Neighbours with the same task"),
        ("knn_accuracy", "output", "Accuracy by neighbours (kNN)"),
    ):
        curve = run.curve(layer=run.top, label=label, score=score)
        if len(curve) < 2:
            raise NotRun("the nearest neighbours have not been analysed at two epochs")
        first, last = min(curve), max(curve)
        by_layer = [run.mean(label=label, layers=(layer,), epochs=(last,), score=score) for layer in run.indices]
        higher = _order(by_layer) > ORDERED and by_layer[-1] > by_layer[0] + MARGIN
        seen.append(higher and curve[last] > curve[first] + MARGIN)
        numbers.append(
            f"{words}, layer {run.top}: {curve[first]:.2f} (epoch {first}) to {curve[last]:.2f} "
            f"(epoch {last}); layers 0 to {run.top} at epoch {last}: {series(by_layer)}."
        )
    return Finding(all(seen), tuple(numbers))


@claim(
    "Task performance and task clusters correlate, generally more in higher layers: Pearson r reaches over .6 "
    "with accuracy and below -.6 with loss.",
    "G.4, figure 15",
    f"In the top block r is above {STRONG} (accuracy) and below -{STRONG} (loss) with each of F1, ARI and AMI; "
    f"their mean strength has a rank correlation above {ORDERED} with the layer.",
)
def correlates(run: Run) -> Finding:
    signed = [
        {layer: r if performance == "accuracy" else -r for layer, r in by_layer.items()}
        for (performance, _), by_layer in correlations(run).items()
    ]
    top = [by_layer[run.top] for by_layer in signed]
    if not np.all(np.isfinite(top)):
        raise NotRun("a correlation is undefined as long as accuracy, loss or a score does not move")
    strength = [np.mean([by_layer[layer] for by_layer in signed]) for layer in run.indices]
    order = _order([value for value in strength if np.isfinite(value)])  # the embedding's scores may never move
    numbers = (
        f"Layer {run.top}, accuracy and loss (sign turned) with F1, ARI, AMI: {series(top)}.",
        f"Mean of the six, layers 0 to {run.top}: {series(strength)}; rank correlation with the layer {order:+.2f}.",
    )
    return Finding(min(top) > STRONG and order > ORDERED, numbers)


@claim(
    "Does training make clusters by task that the input symbol hides?",
    "ours",
    "Each state less the mean state of its input symbol over the training set: the mean task F1 of the blocks gains "
    f"over {MARGIN} from the first to the last epoch, and ends over {MARGIN} above the F1 of the states as they are.",
    ours=True,
)
def beneath_the_input(run: Run) -> Finding:
    first, last = ends(run)
    of = {"layers": run.blocks, "score": "f1"}
    before, after = (run.mean(epochs=(at,), reducer=INPUT_REMOVED, **of) for at in (first, last))
    as_they_are = run.mean(epochs=(last,), **of)
    layer, best = run.best_block(epoch=last, reducer=INPUT_REMOVED)
    numbers = (
        f"Validation, mean of the blocks: {before:.2f} (epoch {first}) to {after:.2f} (epoch {last}), highest "
        f"{best:.2f} (layer {layer}); as they are {as_they_are:.2f}.",
    )
    return Finding(after > max(before, as_they_are) + MARGIN, numbers)


def _order(values: Sequence[float]) -> float:
    """Rank correlation with the layer; 0 where all are equal."""
    if len(set(values)) < 2:
        return 0.0
    value_L = np.array(values)
    higher_LL = np.subtract.outer(value_L, value_L)
    rank_L = (higher_LL > 0).sum(axis=1) + (higher_LL == 0).sum(axis=1) / 2  # equal ones share their ranks
    return float(np.corrcoef(np.arange(len(values)), rank_L)[0, 1])


def _first_above(curve: Curve, threshold: float) -> float:
    return next((epoch for epoch, value in curve.items() if value > threshold), NEVER)


def _first(epoch: float) -> str:
    return "never" if epoch == NEVER else f"first at epoch {shown(epoch)}"


CLAIMS: tuple[Claim, ...] = (
    improves,
    saturates,
    higher_layers,
    by_distribution,
    by_distribution_mapping,
    validation_above,
    evidence.hard_examples,
    evidence.not_by_surface,
    evidence.across_distributions,
    evidence.nested,
    persists,
    abrupt_rise,
    evidence.clusters_before_accuracy,
    neighbours,
    correlates,
    evidence.varies_on_training_subset,
    evidence.similar_tasks,
    beneath_the_input,
)
