"""The tables of the three starts: how far each comes and when, seed by seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from clusterlm_jax.experiments.pretraining.starts import (
    INSTRUCTION,
    MEASURES,
    STARTS,
    TASK_ID,
    Measure,
    Starts,
    chosen_epoch,
)
from clusterlm_jax.report.page import table
from clusterlm_jax.report.tables import Table, Value, over_seeds, side_by_side
from clusterlm_jax.report.training import sizes_entry

Row = tuple[Sequence[str], Sequence[Value]]  # what stands first in it, and a value for each seed


@table(
    "table_starts",
    "How soon and how far (figure 5b in numbers)",
    "The first epoch of fine-tuning with that accuracy on validation or more; never: it was not reached. Instances are "
    "what training reads until then, the epochs of pre-training up to the chosen one included; in pre-training an "
    "instruction is one instance. The mean over the seeds has the sample standard deviation.",
)
def table_starts(starts: Starts) -> Table:
    starts.require("fine-tuning")
    rows = (
        ((name, words), starts.values(measure, start))
        for name, measure in MEASURES.items()
        for start, words in STARTS.items()
    )
    return _by_seed(starts, ("of fine-tuning", "start"), rows)


@table(
    "table_differences",
    "Differences between the starts, paired by seed",
    "Within a seed, data, initial values and order of the instances are the same for all starts. Epochs and instances "
    "below 0 and accuracies above 0 speak for the first.",
)
def table_differences(starts: Starts) -> Table:
    starts.require("fine-tuning")
    rows = (
        (
            (name, f"{STARTS[first]} less {STARTS[second]}"),
            list(map(_difference, starts.values(measure, first), starts.values(measure, second))),
        )
        for name, measure in MEASURES.items()
        for first, second in itertools.combinations(STARTS, 2)
    )
    return _by_seed(starts, ("of fine-tuning", "difference"), rows)


def _of_pretraining(starts: Starts, start: str, metric: str, last: bool = False) -> float:
    """A metric at the epoch that fine-tuning begins with, or at the last one."""
    epoch, run = chosen_epoch(starts, start), starts.pretrainings[start]
    return run.metrics[metric][run.trained if last else epoch]


OF_BOTH: Mapping[str, Measure] = {
    "epoch that fine-tuning begins with": chosen_epoch,
    "validation loss there, nats per token": partial(_of_pretraining, metric="validation_sequence_loss"),
    "validation loss at the last epoch": partial(_of_pretraining, metric="validation_sequence_loss", last=True),
    "steps of an epoch": lambda seed, start: seed.pretrainings[start].facts.get("training", {}).get("steps_per_epoch"),
}
OF_PRETRAINING = {
    TASK_ID: {
        "task-ID accuracy on validation, at that epoch": partial(_of_pretraining, metric="validation_accuracy"),
        "the same at the last epoch": partial(_of_pretraining, metric="validation_accuracy", last=True),
        **OF_BOTH,
    },
    INSTRUCTION: OF_BOTH,
}


@table(
    "table_pretraining",
    "The pre-trainings",
    "The two losses are means over different tokens: those with task IDs include the trigger and the identity.",
)
def table_pretraining(starts: Starts) -> Table:
    starts.require("pre-training")
    rows = (
        ((STARTS[start], what), starts.values(measure, start))
        for start, measures in OF_PRETRAINING.items()
        for what, measure in measures.items()
    )
    return _by_seed(starts, ("start", "of pre-training"), rows)


table_2 = sizes_entry(
    "Of the fine-tuning. In pre-training an instruction is one instance, so there are as many as instructions of the "
    "same splits; pre-training on instructions alone leaves out those of fewer than three symbols.",
    lambda starts: starts.clusters,
)
TABLES = (table_starts, table_differences, table_pretraining, table_2)


def _by_seed(starts: Starts, head: tuple[str, str], rows: Iterable[Row]) -> Table:
    """A column for every seed, and of several seeds one for their mean."""
    seeds = [f"seed {seed}" for seed in starts.seeds]
    if not starts.members:
        return side_by_side(head, seeds, rows)
    return side_by_side(head, [*seeds, "mean"], ((first, [*values, _together(values)]) for first, values in rows))


def _together(values: Sequence[Value]) -> Value:
    """What the seeds come to; words that are not all the same have no mean."""
    in_words = any(isinstance(value, str) for value in values)
    return "no mean" if in_words and len(set(values)) > 1 else over_seeds(values)


def _difference(first: float | None, second: float | None) -> Value:
    """The first less the second, in words where one of them was never reached."""
    if first is None or second is None:
        return None
    if math.isinf(first) and math.isinf(second):
        return "neither reached it"
    if math.isinf(first) or math.isinf(second):
        return "only the first reached it" if math.isinf(second) else "only the second reached it"
    return first - second
