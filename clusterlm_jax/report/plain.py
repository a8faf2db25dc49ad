"""What a run shows, in plain words with its numbers: the first thing a reader of the page reads."""

from __future__ import annotations

import numpy as np

from clusterlm_jax.report.measures import HIGH, MARGIN
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.words import INPUT_REMOVED, REDUCERS, layer_words

SPLIT = "validation"


def in_plain_words(run: Run) -> list[str]:
    """A few sentences on the validation split; those whose numbers are not there are left out."""
    sentences = []
    for sentence in (_task_clusters, _why, _beneath, _finer, _neighbours):
        try:
            sentences.append(sentence(run))
        except NotRun:
            continue
    return sentences


def _task_clusters(run: Run) -> str:
    layer, after, before = _best_block(run, "task", run.reducer)
    seen = after > HIGH and after > before + MARGIN
    return (
        f"Clustered into as many clusters as there are tasks ({REDUCERS[run.reducer]}), the hidden states give a task "
        f"F1 of at most {after:.2f} at the last epoch ({layer_words(layer)}), after {before:.2f} at epoch "
        f"{run.moments['first']}: the paper's clear clusters by task are {'seen' if seen else 'not seen'} in them."
    )


def _why(run: Run) -> str:
    shares = {
        label: [_last(run, "variance_share", label, layer, "none") for layer in _blocks(run)]
        for label in ("input", "task", "distribution")
    }
    words = {label: f"{min(values):.2f} to {max(values):.2f}" for label, values in shares.items()}
    return (
        f"At the last epoch the input symbol explains {words['input']} of their variance (over the blocks), "
        f"the task {words['task']}, the instruction distribution {words['distribution']}; "
        "KMeans follows the largest differences."
    )


def _beneath(run: Run) -> str:
    """Judged by the mean over the blocks: the best of several noisy ones is high by choice."""
    layer, best, _ = _best_block(run, "task", INPUT_REMOVED)
    after, before = (_mean(run, INPUT_REMOVED, moment) for moment in ("last", "first"))
    grow = after > before + MARGIN and after > _mean(run, run.reducer, "last") + MARGIN
    return (
        f"Without the mean state of its input symbol over the training set, the same clustering gives {after:.2f} on "
        f"average over the blocks ({best:.2f} at {layer_words(layer)}), after {before:.2f} at epoch "
        f"{run.moments['first']}: beneath the input symbol, clusters by task {'do' if grow else 'do not'} grow with "
        "training."
    )


def _finer(run: Run) -> str:
    layer, after, before = _best_block(run, "distribution_mapping", run.reducer)
    return (
        f"Clusters by distribution and mapping together reach an F1 of {after:.2f} ({layer_words(layer)}), "
        f"after {before:.2f} at epoch {run.moments['first']}."
    )


def _neighbours(run: Run) -> str:
    curve = run.curve("knn_percentage", "task", SPLIT, run.top)
    first, last = run.moments["first"], run.moments["last"]
    if first not in curve or last not in curve:
        raise NotRun("the nearest neighbours have not been analysed")
    return (
        f"Of an unseen instance's nearest training instances, {curve[last]:.0%} share its task in the top block, "
        f"after {curve[first]:.0%} at epoch {first}."
    )


def _best_block(run: Run, label: str, reducer: str) -> tuple[str, float, float]:
    """The block of the best F1 at the last epoch, that F1, and the block's at the first."""
    after = {layer: _last(run, "f1", label, layer, reducer) for layer in _blocks(run)}
    layer = max(after, key=after.__getitem__)
    return layer, after[layer], _at(run, "f1", label, layer, reducer, "first")


def _mean(run: Run, reducer: str, moment: str) -> float:
    """Mean task F1 of the blocks."""
    return float(np.mean([_at(run, "f1", "task", layer, reducer, moment) for layer in _blocks(run)]))


def _blocks(run: Run) -> tuple[str, ...]:
    if not run.blocks:
        raise NotRun("no block of the model has been analysed")
    return run.blocks


def _last(run: Run, score: str, label: str, layer: str, reducer: str) -> float:
    return _at(run, score, label, layer, reducer, "last")


def _at(run: Run, score: str, label: str, layer: str, reducer: str, moment: str) -> float:
    value = run.curve(score, label, SPLIT, layer, reducer).get(run.moments[moment])
    if value is None:
        raise NotRun(f"{score} by {label} is not scored")
    return value
