"""The tables of the three starts: how far each comes and when, seed by seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from clusterlm_jax.report import run_tables
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.starts import (
    BEST_BY,
    MEASURES,
    PRETRAINED,
    STARTS,
    Starts,
    difference,
    last_epoch,
    of_each_seed,
    together,
)
from clusterlm_jax.report.tables import Table, TableEntry, Value

Row = tuple[str, str, list[Value]]


def _starts(starts: Starts) -> Table:
    if all(last_epoch(starts.fine_tuning(start)) < 0 for start in STARTS):
        raise NotRun("no fine-tuning has begun")
    rows = (
        (name, words, of_each_seed(starts, lambda seed, measure=measure, start=start: measure(seed, start)))
        for name, measure in MEASURES.items()
        for start, words in STARTS.items()
    )
    return _over_seeds(starts, ("of fine-tuning", "start"), rows)


def _differences(starts: Starts) -> Table:
    """Pairs of starts, seed by seed: data, initial values and the order of the instances are the same within a seed."""
    rows = []
    for name, measure in MEASURES.items():
        for first, second in itertools.combinations(STARTS, 2):
            values = [
                of_each_seed(starts, lambda seed, measure=measure, start=start: measure(seed, start))
                for start in (first, second)
            ]
            paired = [difference(*pair) for pair in zip(*values, strict=True)]
            rows.append((name, f"{STARTS[first]} less {STARTS[second]}", paired))
    if all(value is None for _, _, values in rows for value in values):
        raise NotRun("no two fine-tunings can be compared yet")
    return _over_seeds(starts, ("of fine-tuning", "difference"), rows)


def _pretraining(starts: Starts) -> Table:
    rows = [
        (words, what, of_each_seed(starts, lambda seed, value=value, start=start: value(seed, start)))
        for start in PRETRAINED
        for words, (what, value) in itertools.product([STARTS[start]], _VALUES[start].items())
    ]
    if all(value is None for _, _, values in rows for value in values):
        raise NotRun("no pre-training has ended")
    return _over_seeds(starts, ("start", "of pre-training"), rows)


def _over_seeds(starts: Starts, head: tuple[str, str], rows: Iterable[Row]) -> Table:
    """A column for every seed, and one for what they come to."""
    seeds = tuple(f"seed {seed}" for seed in starts.seeds)
    if not starts.members:
        return Table((*head, *seeds), tuple((*names, *values) for *names, values in rows))
    body = tuple((*names, *values, _together(values)) for *names, values in rows)
    return Table((*head, *seeds, "mean ± standard deviation"), body)


def _together(values: list[Value]) -> Value:
    """What numbers come to; words that are not all the same have no mean."""
    if any(isinstance(value, str) for value in values):
        return values[0] if len(set(values)) == 1 else "no mean"
    return together(values)


def _at_chosen(metric: str) -> Callable[[Starts, str], float]:
    def value(starts: Starts, start: str) -> float:
        epoch = starts.chosen_epoch(start)
        return starts.pretraining(start).metrics[metric][epoch]

    return value


def _at_last(metric: str) -> Callable[[Starts, str], float]:
    def value(starts: Starts, start: str) -> float:
        starts.chosen_epoch(start)  # raises where it has not ended
        return list(starts.pretraining(start).metrics[metric].values())[-1]

    return value


def _instances(starts: Starts, start: str) -> int:
    facts = starts.pretraining(start).facts.get("training", {})
    if not facts:
        raise NotRun("it has not begun")
    return facts["steps_per_epoch"]


_LOSS = "validation_sequence_loss"
_SHARED = {
    "epoch that fine-tuning begins with": Starts.chosen_epoch,
    "validation loss there, nats per token": _at_chosen(_LOSS),
    "validation loss at the last epoch": _at_last(_LOSS),
    "steps of an epoch": _instances,
}
_VALUES = {
    "task_id": {
        "task-ID accuracy on validation, at that epoch": _at_chosen(BEST_BY["task_id"]),
        "the same at the last epoch": _at_last(BEST_BY["task_id"]),
        **_SHARED,
    },
    "instruction": _SHARED,
}

TABLES = (
    TableEntry(
        "table_starts",
        "How soon and how far (figure 5b in numbers)",
        "The first epoch of fine-tuning with that accuracy on validation or more; never: it was not reached. Instances "
        "are what training reads until then, the epochs of pre-training up to the chosen one included; in pre-training "
        "an instruction is one instance.",
        _starts,
    ),
    TableEntry(
        "table_differences",
        "Differences between the starts, paired by seed",
        "Within a seed, data, initial values and order of the instances are the same for all starts. Epochs and "
        "instances below 0 and accuracies above 0 speak for the first.",
        _differences,
    ),
    TableEntry(
        "table_pretraining",
        "The pre-trainings",
        "The losses of the two are means over different tokens: with task IDs, the trigger and the identity are among "
        "them.",
        _pretraining,
    ),
    TableEntry(
        "table_2",
        "Data sizes (table 2)",
        "Of the fine-tuning. In pre-training an instruction is one instance, so there are as many as instructions of "
        "the same splits; pre-training on instructions alone leaves out those of fewer than three symbols.",
        lambda starts: next(entry for entry in run_tables.TABLES if entry.name == "table_2").make(starts.clusters),
    ),
)
