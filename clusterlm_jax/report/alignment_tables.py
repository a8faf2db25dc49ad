"""The tables of the alignment experiment: table 11, and every switch in numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from clusterlm_jax.report import run_tables
from clusterlm_jax.report.methods import LEARNT, METRICS, PAPER, Methods, baselines, method_words
from clusterlm_jax.report.points import over_seeds
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import Table, TableEntry, Value
from clusterlm_jax.report.words import layer_words

BOTH = ("source_accuracy", "accuracy_drop")


def _table_11(methods: Methods) -> Table:
    _require(methods, methods.four.values())
    seeds = methods.seeds if methods.members else ()
    rows = []
    for kind, run in methods.four.items():
        row: list[Value] = [method_words(run)]
        for metric, paper in zip(BOTH, PAPER[kind], strict=True):
            values = methods.values(run, metric)
            row += [over_seeds(values), paper, *(values if methods.members else ())]
        rows.append(tuple(row))
    columns = (
        column for metric in BOTH for column in (METRICS[metric], "the paper's", *(f"seed {seed}" for seed in seeds))
    )
    return Table(("method", *columns), tuple(rows))


def _switches(methods: Methods, runs: Mapping[str, str]) -> Table:
    """Every metric of these switches over the seeds, by the words for each."""
    _require(methods, runs.values())
    rows = ((words, *(over_seeds(methods.values(run, metric)) for metric in METRICS)) for words, run in runs.items())
    return Table(("switch", *METRICS.values()), tuple(rows))


def _examples(methods: Methods) -> Table:
    runs = (f"{kind}/examples={number}" for kind in LEARNT for number in methods.examples)
    return _switches(methods, {method_words(run): run for run in runs})


def _layers(methods: Methods) -> Table:
    places = itertools.product(LEARNT.items(), methods.layers)
    return _switches(
        methods, {f"{words}, {layer_words(at)}": methods.at_layer(kind, at) for (kind, words), at in places}
    )


def _baselines(methods: Methods) -> Table:
    runs = (*baselines(methods), *(methods.four[kind] for kind in LEARNT))
    return _switches(methods, {method_words(run): run for run in runs})


def _bases(methods: Methods) -> Table:
    """What the methods begin with, and the epochs that were chosen."""
    rows: list[tuple[Value, ...]] = []
    for phase, words in {"base": "base model", "direct/finetune": "direct", "head/finetune": "head alone"}.items():
        for metric, name in (("epoch", "chosen epoch"), ("validation_accuracy", "validation accuracy there")):
            values = [member.phases[phase].facts.get("best", {}).get(metric) for member in methods.each_seed]
            rows.append((f"{words}: {name}", *values))
    before = [
        member.phases["direct/finetune"].metrics.get("others_accuracy", {}).get(0) for member in methods.each_seed
    ]
    rows.append(("base model: accuracy on the other validation tasks", *before))
    return Table(("", *(f"seed {seed}" for seed in methods.seeds)), tuple(rows))


def _require(methods: Methods, runs: Iterable[str]) -> None:
    if all(value is None for run in runs for value in methods.values(run, BOTH[0])):
        raise NotRun("no method has been measured")


TABLES = (
    TableEntry(
        "table_11",
        "Table 11: the four methods",
        "Source accuracy: validation instances of the source tasks answered as their targets would. Accuracy drop: of "
        "the other validation tasks, before less after. Mean ± standard deviation over the seeds, then each seed.",
        _table_11,
    ),
    TableEntry(
        "table_bases",
        "What they begin with",
        "A base model is chosen by its accuracy on all validation tasks, a fine-tuned one by the accuracy on updated "
        "source tasks; of equal epochs the earliest. The switch methods have the head of the head-alone fine-tuning.",
        _bases,
    ),
    TableEntry(
        "table_examples",
        "How many examples of each other task a switch needs (ours)",
        "The paper takes one. A switch is perfect if all source instances are switched on and no others. The examples "
        "of a smaller number are among those of a larger.",
        _examples,
    ),
    TableEntry(
        "table_layers",
        "Which layer's states a switch should read (ours)",
        "The paper reads the last layer; ours is the state after the final norm, which the heads read too.",
        _layers,
    ),
    TableEntry(
        "table_baselines",
        "Does the nearest centroid already do it? (ours)",
        "No training at all: the switch takes the side of the nearest centroid. KMeans clusters all training states, "
        "with as many clusters as tasks, or as pairs of distribution and mapping; a cluster is switched on if most of "
        "its instances are of source tasks. The nearest mean of a task knows what the learnt switches below know.",
        _baselines,
    ),
    TableEntry(
        "table_2",
        "Data sizes (table 2)",
        "Of the base model's data; the paper's sizes are those of its main experiment.",
        lambda methods: next(entry for entry in run_tables.TABLES if entry.name == "table_2").make(methods.base),
    ),
)
