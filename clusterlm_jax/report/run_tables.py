"""The tables of a run: ours beside the paper's (tables 2 and 9), and the scores in numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.correlation import correlations
from clusterlm_jax.report.figures import LABELS, VARIANCE_LABELS
from clusterlm_jax.report.instruments import milestones
from clusterlm_jax.report.measures import MARGIN
from clusterlm_jax.report.nulls import NULLS, null_values
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.summary import WORDS, spread
from clusterlm_jax.report.tables import F1_DEFINITIONS, PAPER_MODELS, PAPER_SIZES, Table, TableEntry, Value
from clusterlm_jax.report.timing import TIMED, half_rise, scored_spaces, timed_curves
from clusterlm_jax.report.words import (
    INSTRUMENT_WORDS,
    LABEL_WORDS,
    REDUCERS,
    SCORE_WORDS,
    SHORT_REDUCERS,
    SPACES,
    SPLIT_WORDS,
    layer_words,
)

NEIGHBOUR_SCORES = (
    ("knn_percentage", "task", "same task"),
    ("knn_accuracy", "output", "accuracy"),
    ("knn_task_accuracy", "task", "task accuracy"),
)


def _sizes(run: Run) -> Table:
    each = [member.facts.get("dataset", {}) for member in run.each_seed]
    quantities = [(f"{name.replace('_', ' ')} instances", name, paper) for name, paper in PAPER_SIZES.items()]
    quantities += [
        ("tasks", "tasks", 50),
        ("of these, hard", "hard_tasks", 5),
        ("instruction distributions", "distributions", "1 to 6 a task"),
        ("instructions", "instructions", "10 a distribution"),
        ("tasks that share an input, mean", "tasks_per_input_mean", "not given"),
        ("symbols of an instance, mean", "length_mean", "not given"),
        ("symbols of an instance, most", "length_max", "not given"),
    ]
    if run.config.get("data", {}).get("shared_mappings") is not None:
        quantities += [
            ("similar tasks, each counted", "similar_tasks", "not given"),
            ("outputs of an input in a task identity, mean", "outputs_per_input_mean", "not given"),
        ]
    rows = ((words, *(data.get(name) for data in each), paper) for words, name, paper in quantities)
    ours = tuple(f"seed {seed}" for seed in run.seeds) if run.members else ("ours",)
    return Table(("quantity", *ours, "paper"), tuple(rows))


def _models(run: Run) -> Table:
    model = run.facts.get("model", {})
    hidden_dim = model.get("hidden_dim")
    widths = sorted({*PAPER_MODELS, *([hidden_dim] if hidden_dim else [])})
    rows = (
        (width, model["parameters"] if width == hidden_dim else None, PAPER_MODELS.get(width, "no such model"))
        for width in widths
    )
    return Table(("hidden dimension", "parameters of this model", "paper"), tuple(rows))


def _layer_table(run: Run, head: tuple[str, ...], rows: Iterable[tuple[tuple[Value, ...], dict[str, float]]]) -> Table:
    """A table with a column for every layer."""
    columns = tuple(layer_words(layer) for layer in run.layers)
    body = ((*first, *(values.get(layer) for layer in run.layers)) for first, values in rows)
    return Table((*head, *columns), tuple(body))


def _at(run: Run, score: str, label: str, split: str, epoch: int, reducer: str | None = None) -> dict[str, float]:
    """A score by layer at one epoch, without the layers that lack it."""
    curves = {layer: run.curve(score, label, split, layer, reducer) for layer in run.layers}
    return {layer: curve[epoch] for layer, curve in curves.items() if epoch in curve}


def _scores(run: Run) -> Table:
    rows = [
        ((SPLIT_WORDS[split], LABEL_WORDS[label], words, f"{moment} ({epoch})"), _at(run, score, label, split, epoch))
        for split in SPLITS
        for label in LABELS
        for score, words in SCORE_WORDS.items()
        for moment, epoch in run.moments.items()
    ]
    rows += [
        (
            (SPLIT_WORDS["validation"], "nearest neighbours", words, f"{moment} ({epoch})"),
            _at(run, score, label, "validation", epoch),
        )
        for score, label, words in NEIGHBOUR_SCORES
        for moment, epoch in run.moments.items()
    ]
    return _layer_table(run, ("split", "label", "score", "epoch"), rows)


def _instruments(run: Run) -> Table:
    """Every score of the instruments with its nulls, at a few epochs of the training."""
    labels = ("task", "distribution", "distribution_mapping", "input")
    rows = [
        ((SPLIT_WORDS[split], words, label.replace("_", "-"), epoch), _at(run, score, label, split, epoch))
        for split in SPLITS
        for score, words in INSTRUMENT_WORDS.items()
        for label in (*labels, "shuffled_task", "regrouped_task")
        for epoch in milestones(run)
    ]
    rows = [row for row in rows if row[1]]
    if not rows:
        raise NotRun("no instrument has been used")
    return _layer_table(run, ("split", "instrument", "label", "epoch"), rows)


def _training(run: Run) -> Table:
    """The paper's scores at a few epochs of the training, for either reducer."""
    rows = [
        (
            (SPLIT_WORDS[split], LABEL_WORDS[label], words, SHORT_REDUCERS[reducer], epoch),
            _at(run, score, label, split, epoch, reducer),
        )
        for split in SPLITS
        for label in LABELS
        for score, words in SCORE_WORDS.items()
        for reducer in SHORT_REDUCERS
        for epoch in milestones(run)
    ]
    return _layer_table(run, ("split", "label", "score", "reducer", "epoch"), [row for row in rows if row[1]])


def _variance(run: Run) -> Table:
    rows = [
        ((LABEL_WORDS[label], f"{moment} ({epoch})"), _at(run, "variance_share", label, "validation", epoch))
        for label in (*VARIANCE_LABELS, "position")
        for moment, epoch in run.moments.items()
    ]
    if not any(values for _, values in rows):
        raise NotRun("the shares of variance have not been computed")
    return _layer_table(run, ("label", "epoch"), rows)


def _correlation(run: Run) -> Table:
    rows = (((performance, SCORE_WORDS[score]), values) for (performance, score), values in correlations(run).items())
    return _layer_table(run, ("task performance", "clusters"), rows)


def _definitions(run: Run) -> Table:
    columns = [(split, moment) for split in SPLITS for moment in ("best", "last")]
    rows = (
        (words, *(_at(run, score, "task", split, run.moments[moment]).get(run.best_layer) for split, moment in columns))
        for score, words in F1_DEFINITIONS.items()
    )
    header = tuple(f"{SPLIT_WORDS[split]}, {moment} ({run.moments[moment]})" for split, moment in columns)
    return Table((f"definition (task, {layer_words(run.best_layer)}, {REDUCERS[run.reducer]})", *header), tuple(rows))


def _seeds(run: Run) -> Table:
    if not run.members:
        raise NotRun("one seed only")
    rows = ((WORDS[name], *values, mean, deviation) for name, (mean, deviation, values) in spread(run.members).items())
    seeds = tuple(f"seed {seed}" for seed in run.seeds)
    return Table(("measure", *seeds, "mean", "standard deviation"), tuple(rows))


def _nulls(run: Run) -> Table:
    """The block of the best task F1 in each space beside what the nulls score there."""
    last = run.moments["last"]
    rows = []
    for space, split in itertools.product(SPACES, SPLITS):
        if last not in run.over_blocks(max, "f1", "task", split, space):
            continue
        block, _ = run.best_block("task", split, last, space)
        for score, words in SCORE_WORDS.items():
            value = run.mean(score, "task", split, (block,), (last,), space)
            nulls = tuple(null_values(run, score, split, block, last, space).values())
            above = None if None in nulls else value - max(nulls)
            rows.append((SPACES[space], SPLIT_WORDS[split], block, words, value, *nulls, above))
    head = ("space", "split", "block", "score", f"trained, epoch {last}")
    return Table((*head, *NULLS.values(), "above"), tuple(rows))


def _timing(run: Run) -> Table:
    """Every timed curve's ends and its half-rise in each seed; those that need no clustering stand once, at the end."""
    spaces = scored_spaces(run)
    if not spaces:
        raise NotRun("fewer than two epochs have been analysed")
    names = [(name, space) for name in TIMED for space in (spaces if name in LABEL_WORDS else spaces[:1])]
    rows = []
    for name, space in names:
        curve = timed_curves(run, space).get(name)
        if curve:
            halves = (half_rise(timed_curves(member, space)[name]) for member in run.each_seed)
            ends = next(iter(curve.values())), max(curve.values())
            rows.append((TIMED[name], SPACES[space] if name in LABEL_WORDS else "", *ends, *halves))
    seeds = tuple(f"half-rise, seed {seed}" for seed in run.seeds) if run.members else ("half-rise epoch",)
    return Table(("curve", "space", "first", "highest", *seeds), tuple(rows))


TABLES = (
    TableEntry(
        "table_2",
        "Data sizes (table 2)",
        "Sizes follow from the random draw of distributions; the composition of the paper's training subset "
        "is not recoverable from its text.",
        _sizes,
    ),
    TableEntry("table_9", "Parameter counts (table 9)", "A run has one model; the other rows are other runs.", _models),
    TableEntry(
        "table_scores",
        "Scores by layer",
        "Clusterings with the one reducer shown. Nearest neighbours on the raw states: the share with the same "
        "task, and how often the majority of their outputs and of their tasks is right. Best: the nearest "
        "analysed epoch at or before the early-stopping one.",
        _scores,
    ),
    TableEntry(
        "table_f1_definitions",
        "What F1 could mean",
        "The paper defines F1 by precision and recall alone; these are six readings of it on the same "
        "clusterings. All figures use the first.",
        _definitions,
    ),
    TableEntry(
        "table_instruments",
        "Instruments beside KMeans",
        "On the raw states. For neighbours of other distributions, the label shuffled-task is what chance gives; for "
        "the linear probe, regrouped-task is the control task; for the other scores both are null labels. By "
        "distribution-mapping, the tree scores .5 where each instance is a cluster of its own: that label has three.",
        _instruments,
    ),
    TableEntry(
        "table_training",
        "Scores by layer over training",
        "The paper's scores at the beginning, at about 5, 10, 25 and 50% of the training and at its end, without a "
        "reducer and with t-SNE.",
        _training,
    ),
    TableEntry(
        "table_variance",
        "Share of variance explained, validation",
        "Between-group share of the variance of the raw states: what a clustering of them has to follow.",
        _variance,
    ),
    TableEntry(
        "table_correlation",
        "Correlation of performance and task clusters (figure 15)",
        "Pearson r over the analysed epochs, validation, by layer.",
        _correlation,
    ),
    TableEntry(
        "table_nulls",
        "Task clusters beside the null baselines",
        "At the last epoch, the block with the best task F1, and what would be scored there without any clusters by "
        "task. Labels are dealt anew in that very block. Above: by how much the trained model exceeds them all.",
        _nulls,
    ),
    TableEntry(
        "table_timing",
        "When each curve rises",
        "The first known epoch at which a curve of validation has covered half the way from its first value to its "
        f"highest (best block at each analysed epoch); never: that way is shorter than {MARGIN}. Clusters and "
        "neighbours are known at analysed epochs only, the accuracy at every epoch.",
        _timing,
    ),
    TableEntry(
        "table_seeds",
        "Every measure over the seeds",
        "Validation unless said otherwise. The standard deviation is the sample's.",
        _seeds,
    ),
)
