"""The tables: ours beside the paper's (tables 2 and 9), and the scores in numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
from collections.abc import Callable, Iterable

from clusterlm_jax.records import SPLITS
from clusterlm_jax.report.correlation import correlations
from clusterlm_jax.report.figures import LABELS, VARIANCE_LABELS
from clusterlm_jax.report.measures import MARGIN
from clusterlm_jax.report.nulls import NULLS, null_values
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.summary import WORDS, spread
from clusterlm_jax.report.timing import NEVER, TIMED, half_rise, scored_spaces, timed_curves
from clusterlm_jax.report.words import LABEL_WORDS, REDUCERS, SCORE_WORDS, SPACES, SPLIT_WORDS, layer_words

Value = str | int | float | None  # None: not run
PAPER_SIZES = {"training": 7300, "training_subset": 180, "validation": 315}
PAPER_MODELS = {32: "55 thousand", 256: "3 million", 768: "23 million", 2048: "202 million"}
F1_DEFINITIONS = {
    "f1": "f1: clusters matched one to one with classes, mean over classes",
    "f1_majority": "f1_majority: each cluster takes its majority class",
    "f1_max_overlap": "f1_max_overlap: each class takes its best cluster",
    "f1_pairwise": "f1_pairwise: over pairs of instances",
    "f1_bcubed": "f1_bcubed: B-cubed, over instances",
    "purity": "purity",
}
NEIGHBOUR_SCORES = (
    ("knn_percentage", "task", "same task"),
    ("knn_accuracy", "output", "accuracy"),
    ("knn_task_accuracy", "task", "task accuracy"),
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of values; a value that was not run is None."""

    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclasses.dataclass(frozen=True)
class TableEntry:
    """A table of the report: the name of its files, its heading, what to read in it, and how to make it."""

    name: str
    title: str
    note: str
    make: Callable[[Run], Table]


def shown(value: Value) -> str:
    """A value as a person reads it: three decimals, thousands apart; what is no finite number, in words."""
    if value is None:
        return "not run"
    if value == NEVER:
        return "never"
    if isinstance(value, float):
        return "undefined" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else value


def markdown(table: Table) -> str:
    lines = [table.header, ("---",) * len(table.header), *(tuple(map(shown, row)) for row in table.rows)]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def comma_separated(table: Table) -> str:
    """CSV with every digit of the numbers; what was not run is left empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.header, *table.rows])
    return buffer.getvalue()


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


def _at(run: Run, score: str, label: str, split: str, epoch: int) -> dict[str, float]:
    """A score by layer at one epoch, without the layers that lack it."""
    curves = {layer: run.curve(score, label, split, layer) for layer in run.layers}
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
