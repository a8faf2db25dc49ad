"""What a run shows, in plain words with its numbers: the first thing a reader of the page reads.

Of several seeds, the numbers are those of their mean.
"""

from __future__ import annotations

from clusterlm_jax.report.evidence import hard_shares
from clusterlm_jax.report.instruments import in_a_sentence
from clusterlm_jax.report.measures import HIGH, MARGIN
from clusterlm_jax.report.nulls import NULLS, null_values
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.words import INPUT_REMOVED, REDUCERS, layer_words

SPLIT = "validation"


def in_plain_words(run: Run) -> list[str]:
    """A few sentences on the validation split; those whose numbers are not there are left out."""
    sentences = []
    for sentence in (
        _task_clusters,
        _surface,
        in_a_sentence,
        _why,
        _beneath,
        _finer,
        _hard,
        _neighbours,
    ):
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


def _surface(run: Run) -> str:
    layer, value, _ = _best_block(run, "task", run.reducer)
    nulls = null_values(run, "f1", SPLIT, layer, run.moments["last"])
    if None in nulls.values():
        raise NotRun("the null baselines have not been scored")
    words = ", ".join(f"{NULLS[name]} {null:.2f}" for name, null in nulls.items())
    if value > max(nulls.values()) + MARGIN:
        return f"What holds no clusters by task scores less ({words}): similar instructions do not explain it."
    return f"What holds no clusters by task scores hardly less ({words}): similar instructions could explain it."


def _why(run: Run) -> str:
    last = run.moments["last"]
    shares = {
        label: [run.mean("variance_share", label, SPLIT, (block,), (last,)) for block in run.blocks]
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
    after, before, shown = (
        run.mean("f1", "task", SPLIT, run.blocks, (run.moments[moment],), reducer)
        for moment, reducer in (("last", INPUT_REMOVED), ("first", INPUT_REMOVED), ("last", run.reducer))
    )
    if after <= before + MARGIN:
        words = "beneath the input symbol, clusters by task do not grow with training"
    elif after <= shown + MARGIN:
        words = "clusters by task grow there too, but hardly above those with the input symbol"
    else:
        words = "beneath the input symbol, clusters by task do grow with training"
    return (
        f"Without the mean state of its input symbol over the training set, the same clustering gives {after:.2f} on "
        f"average over the blocks ({best:.2f} at {layer_words(layer)}), after {before:.2f} at epoch "
        f"{run.moments['first']}: {words}."
    )


def _finer(run: Run) -> str:
    layer, after, before = _best_block(run, "distribution_mapping", run.reducer)
    return (
        f"Clusters by distribution and mapping together reach an F1 of {after:.2f} ({layer_words(layer)}), "
        f"after {before:.2f} at epoch {run.moments['first']}."
    )


def _hard(run: Run) -> str:
    layer, own, original = hard_shares(run)
    return (
        f"Of the hard examples, made from others by one symbol of the instruction, {own:.0%} are clustered with their "
        f"own task rather than their original's, {original:.0%} the other way round (training subset, "
        f"{layer_words(layer)}, last epoch)."
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
    layer, after = run.best_block(label, SPLIT, run.moments["last"], reducer)
    return layer, after, run.mean("f1", label, SPLIT, (layer,), (run.moments["first"],), reducer)
