"""Figures that the paper does not have: the task across distributions, spaces, timing, variance, hard examples."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.emergence.timing import TIMED, half_rise, scored_spaces, timed_curves, way_of
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report import drawing
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.reading import read_space
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import NEVER
from clusterlm_jax.report.training import hard_entry
from clusterlm_jax.report.words import LABEL_WORDS, SHORT_REDUCERS, SPACES, SPLIT_WORDS, layer_words

INSTRUMENTS = (
    ("f1", "(a) KMeans ({reducer}):\ntask F1"),
    ("across", "(b) neighbours of other\ndistributions: same task"),
    ("across_same_input", "(c) of these, among those\nwith the same input symbol"),
    ("across_other_input", "(d) of these, among those\nwith another input symbol"),
    ("probe_validation", "(e) linear probe, unseen\ndistributions: accuracy"),
    ("within_input_ari", "(f) KMeans inside each\ninput symbol: task ARI"),
    ("tree_f1", "(g) Ward's tree, best cut:\ntask F1"),
    ("silhouette", "(h) silhouette by task"),
)
VARIANCE_LABELS = ("task", "distribution", "mapping", "distribution_mapping", "input", "output")
RISES = {name: {"color": color} for name, color in zip(TIMED, drawing.CATEGORIES, strict=False)} | {
    "neighbours": {"color": ".5"},
    "accuracy": {"color": "black", "linewidth": 2.0},
}
PANEL = 2.15  # inches: a t-SNE space
LEGEND_LIMIT = 24  # more tasks than this cannot be told apart by a legend


@figure(
    "figure_instruments",
    "The task across instruction distributions",
    "(a) is the paper's measure; the others are not told how many tasks there are. (b) to (d): the share of an "
    "instance's ten nearest training instances with its task, when its own distribution is left out. (e): a linear "
    "probe for the task, tested on distributions it never saw. (f) to (h): clusters and distances by task; (f) knows "
    "how many tasks each input symbol has. Look at whether a curve leaves its grey lines.",
)
def figure_instruments(run: Run) -> Figure:
    if not any(run.curve(layer=layer, score=score) for score, _ in INSTRUMENTS[1:] for layer in run.layers):
        raise NotRun("no instrument has been used")
    figure, axes = drawing.grid(2, 4, "validation; (b) to (h): raw states", bottom=drawing.ROOM_FOR_NULLS)
    figure.subplots_adjust(hspace=0.75)
    for panel, (score, title) in zip(axes.flat, INSTRUMENTS, strict=True):
        drawing.layer_curves(panel, run, score=score)
        panel.set_title(title.format(reducer=SHORT_REDUCERS[run.reducer]), loc="left")
    for panel in axes[-1]:
        panel.set_xlabel("epoch")
    drawing.layer_legend(figure, run)
    return figure


@figure(
    "figure_spaces",
    "With t-SNE, without, and without the input symbol",
    'The paper reduces "optionally, if it benefits"; every other figure here shows one reducer, the better by '
    "validation task F1 of this run. The last column takes from each state the mean state of its input symbol over the "
    "training set: clusters by task that show there alone lie beneath the input symbol.",
)
def figure_spaces(run: Run) -> Figure:
    present = [space for space in SPACES if any(key.reducer == space for key in run.curves)]
    if len(present) < 2:
        raise NotRun("only one space has been scored")
    size, room = (2.6, 1.4), drawing.ROOM_FOR_NULLS
    figure, axes = drawing.grid(2, len(present), "clusters by task", panel=size, bottom=room)
    for row, split in zip(axes, SPLITS, strict=True):
        for panel, space in zip(row, present, strict=True):
            drawing.layer_curves(panel, run, split=split, reducer=space, score="f1")
    columns = [SPACES[space] + (" (in the other figures)" if space == run.reducer else "") for space in present]
    drawing.name_panels(axes, [f"F1, {SPLIT_WORDS[split]}" for split in SPLITS], columns)
    drawing.layer_legend(figure, run)
    return figure


figure_hard = hard_entry("Hard examples: with their own task or with their original's?")


@figure(
    "figure_variance",
    "What the states vary with",
    "The share of the hidden states' variance that lies between the groups of each label. KMeans follows the largest "
    "differences: where the input symbol explains much more than the task, clusters by task are hard to find.",
)
def figure_variance(run: Run) -> Figure:
    score = "variance_share"
    if not any(run.curve(layer=layer, label=label, score=score) for label in VARIANCE_LABELS for layer in run.layers):
        raise NotRun("the shares of variance have not been computed")
    figure, axes = drawing.grid(2, 3, "validation, raw states")
    drawing.name_panels(axes, ["share of variance"] * 2, [""] * 3)
    for panel, label in zip(axes.flat, VARIANCE_LABELS, strict=True):
        drawing.layer_curves(panel, run, label=label, score=score)
        panel.set_title(f"by {LABEL_WORDS[label]}", loc="left")
    drawing.layer_legend(figure, run)
    return figure


@figure(
    "figure_timing",
    "What rises first",
    "Each curve between its first value and its highest (best block at each analysed epoch), so that the one further "
    "left rose earlier; circles mark the first known epoch at half the way. The paper's hypothesis: the model first "
    "learns to tell tasks apart, so clusters by task come left of the accuracy. Epochs long after every circle are cut "
    "off.",
)
def figure_timing(run: Run) -> Figure:
    spaces = scored_spaces(run)
    if not spaces:
        raise NotRun("fewer than two epochs have been analysed")
    seeds = f", mean of {len(run.seeds)} seeds" if run.members else ""
    figure, axes = drawing.grid(1, len(spaces), f"validation{seeds}", panel=(2.6, 2.0))
    for panel, space in zip(axes[0], spaces, strict=True):
        _draw_rises(panel, timed_curves(run, space))
        panel.set_title(SPACES[space], loc="left")
        panel.set_xlabel("epoch")
    axes[0, 0].set_ylabel("way from first to highest")
    mark = {"linestyle": "", "marker": "o", "markersize": 6, "markerfacecolor": "white"}
    handles = [Line2D([], [], label=TIMED[name], **line) for name, line in RISES.items()]
    drawing.legend(figure, [*handles, Line2D([], [], color=".3", label="half-rise", **mark)])
    return figure


def _draw_rises(panel: Axes, curves: dict[str, Curve]) -> None:
    """Curves that rise; the others are named, and epochs long after every half-rise are cut off."""
    halves = {name: half_rise(curve) for name, curve in curves.items()}
    risen = {name: epoch for name, epoch in halves.items() if epoch != NEVER}
    for name, epoch in risen.items():
        start, most = way_of(curves[name])
        way = {at: (value - start) / (most - start) for at, value in curves[name].items()}
        drawing.draw_curve(panel, way, markevery=[], zorder=2.5 if name == "accuracy" else 2, **RISES[name])
        panel.plot(epoch, way[epoch], "o", markersize=6, markerfacecolor="white", zorder=3, color=RISES[name]["color"])
    panel.axhline(0.5, color=".6", linewidth=0.8, zorder=1)
    last = max(max(curve) for curve in curves.values())
    panel.set(ylim=(-0.15, 1.05), xlim=(0, min(max(2.5 * max(risen.values(), default=last), 1), last)))
    drawing.epoch_axis(panel)
    flat = [TIMED[name].removeprefix("clusters ") for name in halves.keys() - risen.keys()]
    if flat:
        words = textwrap.fill(f"no rise: {', '.join(sorted(flat))}", 52)
        panel.text(0.02, 0.01, words, transform=panel.transAxes, fontsize=6.5, color=".35")


@figure(
    "figure_scatter",
    "Clusters in sight",
    "The hidden states of the validation instances in their three t-SNE dimensions, coloured by task. Where one "
    "colour and marker falls into several clouds, the states are grouped by something finer than the task. The epoch "
    "with the highest F1 of this layer is among those shown. Of several seeds, the first is shown.",
    with_spec=True,
)
def figure_scatter(run: Run, spec: ReportSpec) -> Figure:
    """Validation states of one layer, one epoch beside the other; the first seed's."""
    seed = f", seed {run.seeds[0]}" if run.members else ""
    run = run.each_seed[0]
    layer = spec.scatter_layer or _scatter_layer(run)
    paths = run.embeddings.get("validation", {}).get(layer, {})
    f1 = run.curve(layer=layer, reducer="tsne", score="f1")
    epochs = _scatter_epochs(run, spec, tuple(paths), f1)
    if not epochs:
        raise NotRun(f"there are no t-SNE coordinates of the validation split at layer {layer}")
    width, height = PANEL * len(epochs) + 0.2, PANEL + 0.8
    figure = Figure(figsize=(width, height))
    drawing.add_subtitle(figure, f"validation, {layer_words(layer)}, by task{seed}")
    marks: dict[int, dict[str, object]] = {}
    for place, epoch in enumerate(epochs):
        axes = figure.add_axes((place / len(epochs), 0.28 / height, 1 / len(epochs), PANEL / height), projection="3d")
        space = read_space(paths[epoch], "task")
        coordinates_N3, task_N = space["coordinates_N3"], space["task"]
        marks |= {task: drawing.mark(number) for number, task in enumerate(np.unique(task_N).tolist())}
        drawing.scatter_groups(axes, coordinates_N3, task_N, marks.__getitem__, zoom=0.87, s=7, alpha=0.85)
        best = " (best)" if epoch == run.best_epoch else ""
        axes.set_title(f"epoch {epoch}{best}" + (f", F1 {f1[epoch]:.2f}" if epoch in f1 else ""), y=1.0)
    if len(marks) <= LEGEND_LIMIT:
        points = {"linestyle": "", "markersize": 4}
        drawing.legend(figure, [Line2D([], [], label=f"task {task}", **points, **mark) for task, mark in marks.items()])
    return figure


def _scatter_layer(run: Run) -> str:
    """The layer with the best validation task F1 late in training if it has coordinates, else the highest block."""
    there = run.embeddings.get("validation", {})
    if not there:
        raise NotRun("there are no t-SNE coordinates of the validation split")
    try:
        best = best_layer(run)
    except NotRun:
        best = ""
    return best if best in there else max(there, key=lambda name: (name.isdecimal(), len(name), name))


def best_layer(run: Run) -> str:
    """The layer of the paper with the best validation task F1 over the late epochs."""
    late = run.late_epochs  # raises NotRun where nothing has been analysed
    return max(run.indices, key=lambda layer: run.mean(layers=(layer,), epochs=late, score="f1"))


def _scatter_epochs(run: Run, spec: ReportSpec, available: Sequence[int], f1: Curve) -> tuple[int, ...]:
    """Those asked for that are there; by default the first, one halfway to the best, the best, the last, the peak."""
    if spec.scatter_epochs or not available:
        return tuple(epoch for epoch in sorted(set(spec.scatter_epochs)) if epoch in available)
    first, last = available[0], available[-1]
    best = max((epoch for epoch in available if epoch <= (run.best_epoch or 0)), default=first)
    end = best if best > first else last
    peak = max(available, key=lambda epoch: f1.get(epoch, -1.0))  # of equal ones the earliest
    wanted = (first, (first + end) / 2, best, last, peak)
    return tuple(sorted({min(available, key=lambda epoch: abs(epoch - target)) for target in wanted}))
