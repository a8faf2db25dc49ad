"""The tables of the alignment experiment: table 11, and every switch in numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from clusterlm_jax.experiments.alignment.figures import BOTH
from clusterlm_jax.experiments.alignment.methods import (
    LEARNT,
    METRICS,
    PHASES,
    WHOLE,
    WORDS,
    Methods,
    method_words,
    variant,
)
from clusterlm_jax.report import paper
from clusterlm_jax.report.page import table
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import Table, Value, over_seeds, side_by_side
from clusterlm_jax.report.training import sizes_entry
from clusterlm_jax.report.words import layer_words


@table(
    "table_11",
    "Table 11: the four methods",
    "Source accuracy: validation instances of the source tasks answered as their targets would. Accuracy drop: of the "
    "other validation tasks, before less after. Mean ± standard deviation over the seeds, then each seed.",
)
def table_11(methods: Methods) -> Table:
    methods.require()
    seeds = methods.seeds if methods.members else ()
    columns = [(METRICS[metric], "the paper's", *(f"seed {seed}" for seed in seeds)) for metric in BOTH]
    rows = []
    for kind, run in methods.four.items():
        row: list[Value] = [method_words(run)]
        for metric, of_paper in zip(BOTH, paper.ALIGNMENT[kind], strict=True):
            values = methods.values(run, metric)
            row += [over_seeds(values), of_paper, *(values if seeds else ())]
        rows.append(tuple(row))
    return Table(("method", *itertools.chain(*columns)), tuple(rows))


@table(
    "table_bases",
    "What they begin with",
    "A base model is chosen by its accuracy on all validation tasks, a fine-tuned one by the accuracy on updated "
    "source tasks; of equal epochs the earliest. The switch methods have the head of the head-alone fine-tuning.",
)
def table_bases(methods: Methods) -> Table:
    facts = {"epoch": "chosen epoch", "validation_accuracy": "validation accuracy there"}
    rows = [
        ((f"{PHASES[phase]}: {facts[name]}",), [run.facts.get("best", {}).get(name) for run in runs.each_seed])
        for phase, runs in methods.phases.items()
        for name in facts
    ]
    before = [run.metrics.get("others_accuracy", {}).get(0) for run in methods.phases[WHOLE].each_seed]
    rows.append((("base model: accuracy on the other validation tasks",), before))
    return side_by_side([""], [f"seed {seed}" for seed in methods.seeds], rows)


@table(
    "table_examples",
    "How many examples of each other task a switch needs (ours)",
    "The paper takes one. A switch is perfect if all source instances are switched on and no others. The examples of a "
    "smaller number are among those of a larger.",
)
def table_examples(methods: Methods) -> Table:
    runs = (variant(kind, examples=number) for kind in LEARNT for number in methods.examples)
    return _switches(methods, {method_words(run): run for run in runs})


@table(
    "table_layers",
    "Which layer's states a switch should read (ours)",
    "The paper reads the last layer; ours is the state after the final norm, which the heads read too.",
)
def table_layers(methods: Methods) -> Table:
    places = itertools.product(LEARNT, methods.layers)
    return _switches(methods, {f"{WORDS[kind]}, {layer_words(at)}": methods.at_layer(kind, at) for kind, at in places})


@table(
    "table_baselines",
    "Does the nearest centroid already do it? (ours)",
    "Without training: the switch is on where the nearest centroid stands for a source task. KMeans clusters all "
    "training states, with as many clusters as tasks, or as pairs of distribution and mapping; a cluster stands for a "
    "source task if most of its instances are of source tasks. The nearest mean of a task knows what the learnt "
    "switches below know.",
)
def table_baselines(methods: Methods) -> Table:
    runs = (*methods.baselines, *(methods.four[kind] for kind in LEARNT))
    return _switches(methods, {method_words(run): run for run in runs})


table_2 = sizes_entry(
    "Of the base model's data; the paper's sizes are those of its main experiment.", lambda methods: methods.base
)
TABLES = (table_11, table_bases, table_examples, table_layers, table_baselines, table_2)


def _switches(methods: Methods, runs: Mapping[str, str]) -> Table:
    """Every metric of these switches over the seeds, by the words for each."""
    rows = [((words,), [over_seeds(methods.values(run, metric)) for metric in METRICS]) for words, run in runs.items()]
    if all(value is None for _, values in rows for value in values):
        raise NotRun("no switch has been measured")
    return side_by_side(["switch"], METRICS.values(), rows)
