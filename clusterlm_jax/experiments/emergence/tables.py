"""The tables of the main experiment: ours with the paper's (tables 2 and 9), and the scores in numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from clusterlm_jax.experiments.emergence.comparison.measures import MEASURES, summary
from clusterlm_jax.experiments.emergence.own_figures import best_layer
from clusterlm_jax.experiments.emergence.timing import TIMED, half_rise, scored_spaces, timed_curves, way_of
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report import paper
from clusterlm_jax.report.claims import MARGIN
from clusterlm_jax.report.page import table
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.tables import Table, Value, over_seeds, side_by_side
from clusterlm_jax.report.training import sizes_entry
from clusterlm_jax.report.words import (
    F1_DEFINITIONS,
    LABEL_WORDS,
    LABELS,
    NULLS,
    REDUCERS,
    SCORE_WORDS,
    SHORT_REDUCERS,
    SPACES,
    SPLIT_WORDS,
    layer_words,
)

NEIGHBOURS = (
    ("knn_percentage", "task", "neighbours: same task"),
    ("knn_accuracy", "output", "neighbours: accuracy"),
    ("knn_accuracy_nearest", "output", "neighbours: accuracy, ties to the nearest"),
    ("knn_task_accuracy", "task", "neighbours: task accuracy"),
    ("knn_task_accuracy_nearest", "task", "neighbours: task accuracy, ties to the nearest"),
)
INSTRUMENTS = {
    "across": "neighbours of other distributions",
    "across_same_input": "the same, with the same input symbol",
    "across_other_input": "the same, with another input symbol",
    "probe_validation": "linear probe, validation instructions",
    "probe_training": "linear probe, training instructions",
    "within_input_f1": "inside an input symbol, F1",
    "within_input_ari": "inside an input symbol, ARI",
    "within_input_ami": "inside an input symbol, AMI",
    "tree_f1": "Ward's tree, best F1 of all cuts",
    "tree_clusters": "Ward's tree, clusters of that cut",
    "silhouette": "silhouette",
    "nc1": "variability within over between (NC1)",
    "variance_share": "share of variance between groups",
}


@table("table_9", "Parameter counts (table 9)", "A run has one model; the other rows are other runs.")
def _models(run: Run) -> Table:
    model = run.facts.get("model", {})
    ours = {model["hidden_dim"]: model["parameters"]} if model else {}
    rows = (
        (width, ours.get(width), paper.PARAMETERS.get(width, "no such model")) for width in {*paper.PARAMETERS, *ours}
    )
    return Table(("hidden dimension", "parameters of this model", "paper"), tuple(sorted(rows, key=lambda row: row[0])))


def milestones(run: Run) -> list[int]:
    """The analysed epochs nearest to the beginning, 5, 10, 25 and 50% of the training and its end, and the best one."""
    wanted = np.array([0, 0.05, 0.1, 0.25, 0.5, 1]) * run.last
    nearest = {min(run.epochs, key=lambda epoch: abs(epoch - moment)) for moment in wanted}
    return sorted(nearest | {run.moments["best"]})


def _over_layers(run: Run, head: Sequence[str], curves: Iterable[tuple[tuple[str, ...], dict]], missing: str) -> Table:
    """A row for each curve and milestone, a column for every layer; `curves` are words and what `Run.curve` takes."""
    rows = []
    for words, of in curves:
        by_layer = [run.curve(layer=layer, **of) for layer in run.layers]
        for epoch in milestones(run):
            if any(epoch in curve for curve in by_layer):
                rows.append(((*words, epoch), [curve.get(epoch) for curve in by_layer]))
    if not rows:
        raise NotRun(missing)
    return side_by_side((*head, "epoch"), map(layer_words, run.layers), rows)


@table(
    "table_scores",
    "Scores by layer over training",
    "At the beginning, at about 5, 10, 25 and 50% of the training, at the best epoch (the nearest analysed at or "
    "before it) and at the end. Clusterings without a reducer and with t-SNE. Nearest neighbours on the raw states: "
    "the share with the same task, and how often the majority of their outputs and of their tasks is right; ties go to "
    "the smallest label, as in scikit-learn.",
)
def _scores(run: Run) -> Table:
    every = itertools.product(SPLITS, LABELS, SCORE_WORDS, SHORT_REDUCERS)
    curves = [
        (
            (SPLIT_WORDS[split], LABEL_WORDS[label], SCORE_WORDS[score], SHORT_REDUCERS[reducer]),
            {"split": split, "label": label, "reducer": reducer, "score": score},
        )
        for split, label, score, reducer in every
    ]
    curves += [
        ((SPLIT_WORDS["validation"], LABEL_WORDS[label], words, ""), {"label": label, "score": score})
        for score, label, words in NEIGHBOURS
    ]
    return _over_layers(run, ("split", "label", "score", "reducer"), curves, "no layer has been scored")


@table(
    "table_f1_definitions",
    "What F1 could mean",
    "The paper defines F1 by precision and recall alone; these are six readings of it on the same clusterings. All "
    "figures use the first.",
)
def _definitions(run: Run) -> Table:
    layer, columns = best_layer(run), [(split, moment) for split in SPLITS for moment in ("best", "last")]
    rows = []
    for score, words in F1_DEFINITIONS.items():
        curves = [(run.curve(split=split, layer=layer, score=score), run.moments[moment]) for split, moment in columns]
        rows.append(((words,), [curve.get(epoch) for curve, epoch in curves]))
    names = [f"{SPLIT_WORDS[split]}, {moment} ({run.moments[moment]})" for split, moment in columns]
    return side_by_side([f"definition (task, {layer_words(layer)}, {REDUCERS[run.reducer]})"], names, rows)


@table(
    "table_instruments",
    "Instruments that do not depend on the number of tasks",
    "On the raw states, at the epochs of the table above. For neighbours of other distributions, the label "
    "shuffled-task is what chance gives; for the linear probe, regrouped-task is the control task; for the other "
    "scores both are null labels. By distribution-mapping, the tree scores .5 where each instance is a cluster of "
    "its own: that label has three.",
)
def _instruments(run: Run) -> Table:
    curves = [
        ((SPLIT_WORDS[split], words, label.replace("_", "-")), {"split": split, "label": label, "score": score})
        for split in SPLITS
        for score, words in INSTRUMENTS.items()
        for label in (*LABEL_WORDS, "shuffled_task", "regrouped_task")
    ]
    return _over_layers(run, ("split", "instrument", "label"), curves, "no instrument has been used")


@table(
    "table_nulls",
    "Task clusters and the null baselines",
    "At the last epoch, the block with the best task F1, and what is scored there without task information. Labels are "
    "shuffled in that very block. Above: by how much the trained model exceeds every null.",
)
def _nulls(run: Run) -> Table:
    rows: list[tuple[Value, ...]] = []
    for space, split in itertools.product(SPACES, SPLITS):
        of = {"split": split, "reducer": space}
        if run.last not in run.over_blocks(max, score="f1", **of):
            continue
        block, _ = run.best_block(epoch=run.last, **of)
        for score, words in SCORE_WORDS.items():
            value = run.mean(layers=(block,), epochs=(run.last,), score=score, **of)
            nulls = tuple(run.null_values(layer=block, epoch=run.last, score=score, **of).values())
            above = None if None in nulls else value - max(nulls)
            rows.append((SPACES[space], SPLIT_WORDS[split], block, words, value, *nulls, above))
    head = ("space", "split", "block", "score", f"trained, epoch {run.last}")
    return Table((*head, *NULLS.values(), "above"), tuple(rows))


@table(
    "table_timing",
    "When each curve rises",
    "The first known epoch at which a curve of validation has covered half the way from its first value to its highest "
    f"(best block at each analysed epoch); never: that way is shorter than {MARGIN}. Clusters and neighbours are known "
    "at analysed epochs only, the accuracy at every epoch.",
)
def _timing(run: Run) -> Table:
    """Those that need no clustering stand once, at the end."""
    spaces = scored_spaces(run)
    if not spaces:
        raise NotRun("fewer than two epochs have been analysed")
    rows = []
    for name in TIMED:
        for space in spaces if name in LABEL_WORDS else spaces[:1]:
            curve = timed_curves(run, space).get(name)
            if curve:
                halves = [half_rise(timed_curves(member, space)[name]) for member in run.each_seed]
                rows.append(((TIMED[name], SPACES[space] if name in LABEL_WORDS else "", *way_of(curve)), halves))
    seeds = [f"half-rise, seed {seed}" for seed in run.seeds] if run.members else ["half-rise epoch"]
    return side_by_side(("curve", "space", "first", "highest"), seeds, rows)


@table(
    "table_seeds",
    "Every measure over the seeds",
    "Validation unless said otherwise; the mean has the sample standard deviation.",
)
def _seeds(run: Run) -> Table:
    if not run.members:
        raise NotRun("one seed only")
    each = [summary(member) for member in run.members]
    values = ((words, [one[name] for one in each]) for name, (words, _) in MEASURES.items())
    rows = (((words,), [*of_seeds, over_seeds(of_seeds)]) for words, of_seeds in values)
    return side_by_side(["measure"], [*(f"seed {seed}" for seed in run.seeds), "mean"], rows)


TABLES = (
    sizes_entry(
        "Sizes follow from the random draw of distributions; the composition of the paper's training subset is not "
        "recoverable from its text."
    ),
    _models,
    _scores,
    _definitions,
    _instruments,
    _nulls,
    _timing,
    _seeds,
)
