"""The scalar measures of a run, by name, for tables over seeds and over runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from clusterlm_jax.experiments.emergence.correlation import PERFORMANCES, correlations
from clusterlm_jax.experiments.emergence.evidence import hard_shares
from clusterlm_jax.experiments.emergence.timing import half_rise
from clusterlm_jax.report.run import Curve, NotRun, Run, measured
from clusterlm_jax.report.tables import NEVER
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, NULLS, SPACES

PASSED = 0.5
T = TypeVar("T")
Measure = Callable[[Run], float]


def summary(run: Run) -> dict[str, float | None]:
    """Every measure of one seed's run, in the order of `MEASURES`.

    Returns:
      Counts and epochs are whole numbers; an epoch that was never reached is infinite, a correlation with a constant is
      nan, and what was not run is None.
    """
    return {name: measured(measure, run) for name, (_, measure) in MEASURES.items()}


def last_block(run: Run, score: str, label: str = "task", reducer: str | None = None) -> float:
    """A score of the last block at the last analysed epoch."""
    return run.mean(label=label, layers=(run.top,), epochs=(run.last,), reducer=reducer, score=score)


def best_f1(run: Run, moment: str = "last", label: str = "task", reducer: str | None = None) -> float:
    """The highest F1 of the blocks."""
    return run.best_block(label=label, epoch=run.moments[moment], reducer=reducer)[1]


def _mean_f1(run: Run, moment: str, reducer: str | None) -> float:
    return run.mean(layers=run.blocks, epochs=(run.moments[moment],), reducer=reducer, score="f1")


def _highest_f1(run: Run, reducer: str | None) -> float:
    return max(_known(run.over_blocks(max, reducer=reducer, score="f1")).values())


def _variance(run: Run, label: str) -> float:
    return run.mean(label=label, layers=run.blocks, epochs=(run.last,), score="variance_share")


def _null(run: Run, name: str) -> float:
    block, _ = run.best_block(epoch=run.last)
    return _known(run.null_values(layer=block, epoch=run.last)[name])


def _accuracy(run: Run) -> Curve:
    return _known(run.metrics.get("validation_accuracy", {}))


def best_accuracy(run: Run) -> float:
    """Validation accuracy at the best epoch."""
    return _known(_accuracy(run).get(run.best_epoch))


def _known(value: T | None) -> T:
    if value is None or value == {}:
        raise NotRun("there is nothing to read it from")
    return value


def _f1_measures() -> dict[str, tuple[str, Measure]]:
    """Task F1 with the reducer that the run is shown with, then in each space."""
    found: dict[str, tuple[str, Measure]] = {}
    for space, ending, words in ((None, "", ""), *((name, f"_{name}", f" ({SPACES[name]})") for name in SPACES)):
        for moment in ("first", "best", "last"):
            at = f"{moment} epoch{words}"
            mean, best = (partial(measure, moment=moment, reducer=space) for measure in (_mean_f1, best_f1))
            found[f"task_f1_mean_{moment}{ending}"] = (f"task F1, mean of the blocks, {at}", mean)
            found[f"task_f1_best_{moment}{ending}"] = (f"task F1, best block, {at}", best)
        highest = partial(_highest_f1, reducer=space)
        found[f"task_f1_highest{ending}"] = (f"task F1, highest of all blocks and epochs{words}", highest)
    return found


MEASURES: Mapping[str, tuple[str, Measure]] = {
    "parameters": ("parameters of the model", lambda run: _known(run.facts.get("model", {}).get("parameters"))),
    "best_accuracy": ("best validation accuracy", best_accuracy),
    "best_epoch": ("best epoch", lambda run: _known(run.best_epoch)),
    "epoch_above_half": (
        f"first epoch with validation accuracy above {PASSED}",
        lambda run: next((epoch for epoch, value in _accuracy(run).items() if value > PASSED), NEVER),
    ),
    "subset_accuracy_last": (
        "accuracy on the training subset, last epoch",
        lambda run: list(_known(run.metrics.get("training_subset_accuracy", {})).values())[-1],
    ),
    **_f1_measures(),
    **{
        f"{label}_f1_best_last": (f"{LABEL_WORDS[label]} F1, best block, last epoch", partial(best_f1, label=label))
        for label in LABELS[1:]
    },
    "neighbours_last": (
        "neighbours with the same task, top block, last epoch",
        partial(last_block, score="knn_percentage"),
    ),
    "across_last": (
        "neighbours of other distributions with the same task, top block, last epoch",
        partial(last_block, score="across"),
    ),
    "knn_accuracy_last": (
        "kNN accuracy, top block, last epoch",
        partial(last_block, score="knn_accuracy", label="output"),
    ),
    **{
        f"variance_{label}_last": (
            f"share of variance explained by the {LABEL_WORDS[label]}, mean of the blocks, last epoch",
            partial(_variance, label=label),
        )
        for label in ("task", "input")
    },
    **{
        f"hard_with_{whose}": (
            f"hard examples with their {words} task, training subset, best block, last epoch",
            lambda run, place=place: hard_shares(run)[place],
        )
        for place, whose, words in ((1, "own", "own"), (2, "original", "original's"))
    },
    **{
        f"r_{name}": (
            f"Pearson r of validation {name} and task F1, top block",
            lambda run, name=name: correlations(run)[name, "f1"][run.top],
        )
        for name in PERFORMANCES
    },
    **{
        f"{name}_f1": (f"task F1 of the null: {NULLS[name]}, last epoch", partial(_null, name=name))
        for name in ("symbols", "regrouped", "shuffled")
    },
    **{
        f"half_rise_{label}": (
            f"epoch of half the rise of {LABEL_WORDS[label]} clusters, best block",
            lambda run, label=label: half_rise(_known(run.over_blocks(max, label=label, score="f1"))),
        )
        for label in LABELS
    },
    "half_rise_accuracy": ("epoch of half the rise of validation accuracy", lambda run: half_rise(_accuracy(run))),
}
