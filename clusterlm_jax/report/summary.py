"""The scalar measures of a run, by name, for tables over seeds and over runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from clusterlm_jax.report.correlation import correlations
from clusterlm_jax.report.evidence import hard_shares
from clusterlm_jax.report.nulls import DEALT, NULLS, null_values
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.timing import NEVER, half_rise
from clusterlm_jax.report.words import LABEL_WORDS, SPACES

SPLIT = "validation"
PASSED = 0.5
MOMENTS = ("first", "best", "last")


def summary(run: Run) -> dict[str, float | None]:
    """Every measure of one seed's run, in the order of `WORDS`.

    Returns:
      Counts and epochs are whole numbers; an epoch that was never reached is infinite, a correlation with a constant is
      nan, and what was not run is None.
    """
    values: dict[str, float | None] = {}
    for name, (_, measure) in MEASURES.items():
        try:
            values[name] = measure(run)
        except NotRun:
            values[name] = None
    return values


def spread(runs: Sequence[Run]) -> dict[str, tuple[float | None, float | None, tuple[float | None, ...]]]:
    """Mean, sample standard deviation and values over the seeds, by measure.

    The mean is None where a seed lacks the measure; the deviation is None there, for one seed, and where a value is not
    finite.
    """
    summaries = [summary(run) for run in runs]
    return {name: _spread([values[name] for values in summaries]) for name in MEASURES}


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None, tuple[float | None, ...]]:
    if any(value is None for value in values):
        return None, None, tuple(values)
    mean = values[0] if len(set(values)) == 1 else sum(values) / len(values)  # a count all share stays a whole number
    finite = len(values) > 1 and all(map(math.isfinite, values))
    return mean, float(np.std(values, ddof=1)) if finite else None, tuple(values)


def _parameters(run: Run) -> float:
    return _present(run.facts.get("model", {}).get("parameters"), "the model has not been counted")


def _best_accuracy(run: Run) -> float:
    return _present(_accuracy(run).get(run.best_epoch), "the best epoch has no validation accuracy")


def _best_epoch(run: Run) -> float:
    return _present(run.best_epoch, "there is no best epoch")


def _passed(run: Run) -> float:
    return next((epoch for epoch, value in _accuracy(run).items() if value > PASSED), NEVER)


def _subset_accuracy(run: Run) -> float:
    return list(_metric(run, "training_subset_accuracy").values())[-1]


def _blocks_f1(run: Run, moment: str, reducer: str | None) -> float:
    return run.mean("f1", "task", SPLIT, run.blocks, (run.moments[moment],), reducer)


def _best_f1(run: Run, moment: str, reducer: str | None = None, label: str = "task") -> float:
    return run.best_block(label, SPLIT, run.moments[moment], reducer)[1]


def _highest_f1(run: Run, reducer: str | None) -> float:
    return max(_known(run.over_blocks(max, "f1", "task", SPLIT, reducer)).values())


def _top(run: Run, score: str, label: str, moment: str) -> float:
    return run.mean(score, label, SPLIT, (run.top,), (run.moments[moment],))


def _at_last(run: Run, score: str, label: str) -> float:
    """Mean over the blocks."""
    return run.mean(score, label, SPLIT, run.blocks, (run.moments["last"],))


def _r(run: Run, performance: str) -> float:
    return correlations(run)[performance, "f1"][run.top]


def _null(run: Run, name: str) -> float:
    last = run.moments["last"]
    block, _ = run.best_block("task", SPLIT, last)
    return _present(null_values(run, "f1", SPLIT, block, last)[name], "this null has not been scored")


def _clusters_half_rise(run: Run, label: str) -> float:
    return half_rise(_known(run.over_blocks(max, "f1", label, SPLIT)))


def _accuracy_half_rise(run: Run) -> float:
    return half_rise(_accuracy(run))


def _accuracy(run: Run) -> Curve:
    return _metric(run, "validation_accuracy")


def _metric(run: Run, name: str) -> Curve:
    return _known(run.metrics.get(name, {}))


def _known(curve: Curve) -> Curve:
    if not curve:
        raise NotRun("there is nothing to read it from")
    return curve


def _present(value: float | None, reason: str) -> float:
    if value is None:
        raise NotRun(reason)
    return value


def _task_f1_measures() -> dict[str, tuple[str, Callable[[Run], float]]]:
    """With the reducer the run is shown with, then with each."""
    measures = {}
    for reducer, ending, words in [(None, "", ""), *((name, f"_{name}", f" ({SPACES[name]})") for name in SPACES)]:
        for moment in MOMENTS:
            measures[f"task_f1_mean_{moment}{ending}"] = (
                f"task F1, mean of the blocks, {moment} epoch{words}",
                functools.partial(_blocks_f1, moment=moment, reducer=reducer),
            )
            measures[f"task_f1_best_{moment}{ending}"] = (
                f"task F1, best block, {moment} epoch{words}",
                functools.partial(_best_f1, moment=moment, reducer=reducer),
            )
        measures[f"task_f1_highest{ending}"] = (
            f"task F1, highest of all blocks and epochs{words}",
            functools.partial(_highest_f1, reducer=reducer),
        )
    return measures


MEASURES: Mapping[str, tuple[str, Callable[[Run], float]]] = {
    "parameters": ("parameters of the model", _parameters),
    "best_accuracy": ("best validation accuracy", _best_accuracy),
    "best_epoch": ("best epoch", _best_epoch),
    "epoch_above_half": (f"first epoch with validation accuracy above {PASSED}", _passed),
    "subset_accuracy_last": ("accuracy on the training subset, last epoch", _subset_accuracy),
    **_task_f1_measures(),
    **{
        f"{label}_f1_best_last": (
            f"{LABEL_WORDS[label]} F1, best block, last epoch",
            functools.partial(_best_f1, moment="last", label=label),
        )
        for label in ("distribution", "distribution_mapping")
    },
    **{
        f"neighbours_{moment}": (
            f"neighbours with the same task, top block, {moment} epoch",
            functools.partial(_top, score="knn_percentage", label="task", moment=moment),
        )
        for moment in ("first", "last")
    },
    "knn_accuracy_last": (
        "kNN accuracy, top block, last epoch",
        functools.partial(_top, score="knn_accuracy", label="output", moment="last"),
    ),
    **{
        f"variance_{label}_last": (
            f"share of variance explained by the {LABEL_WORDS[label]}, mean of the blocks, last epoch",
            functools.partial(_at_last, score="variance_share", label=label),
        )
        for label in ("task", "input")
    },
    "hard_with_own": (
        "hard examples with their own task, training subset, best block, last epoch",
        lambda run: hard_shares(run)[1],
    ),
    "hard_with_original": (
        "hard examples with their original's task, training subset, best block, last epoch",
        lambda run: hard_shares(run)[2],
    ),
    **{
        f"r_{performance}": (
            f"Pearson r of validation {performance} and task F1, top block",
            functools.partial(_r, performance=performance),
        )
        for performance in ("accuracy", "loss")
    },
    **{
        f"{name}_f1": (f"task F1 of the null: {NULLS[name]}, last epoch", functools.partial(_null, name=name))
        for name in ("symbols", *DEALT)
    },
    **{
        f"half_rise_{label}": (
            f"epoch of half the rise of {LABEL_WORDS[label]} clusters, best block",
            functools.partial(_clusters_half_rise, label=label),
        )
        for label in ("task", "distribution", "distribution_mapping")
    },
    "half_rise_accuracy": ("epoch of half the rise of validation accuracy", _accuracy_half_rise),
}
WORDS: dict[str, str] = {name: words for name, (words, _) in MEASURES.items()}
