"""The figures over training: one function per figure, one axes per panel.

They are named after the main run's in the paper (2, 3, 4, 6, 15); the paper draws other runs the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clusterlm_jax.records import FINAL_NORM, SPLITS
from clusterlm_jax.report.correlation import correlation_deviations, correlations
from clusterlm_jax.report.nulls import null_curves
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.style import (
    CATEGORIES,
    ROOM_FOR_NULLS,
    best_handle,
    draw_curve,
    draw_nulls,
    grid,
    layer_legend,
    layer_line,
    legend,
    mark_best,
    say_not_run,
    seeds_handle,
)
from clusterlm_jax.report.words import LABEL_WORDS, REDUCERS, SCORE_WORDS, SPACES, SPLIT_WORDS, layer_words

LABELS = ("task", "distribution", "distribution_mapping")
"""The paper's columns (figures 2 and 6)."""
VARIANCE_LABELS = ("task", "distribution", "mapping", "distribution_mapping", "input", "output")


def figure_2(run: Run, labels: Sequence[str] = LABELS) -> Figure:
    """F1 of every layer over training: splits by labels."""
    title, panel = f"Clusters over training, F1 (reducer: {REDUCERS[run.reducer]})", (5.85 / len(labels), 1.3)
    figure, axes = grid(2, len(labels), title, panel=panel, bottom=ROOM_FOR_NULLS)
    for row, split in zip(axes, SPLITS, strict=True):
        for panel, label in zip(row, labels, strict=True):
            layer_curves(panel, run, "f1", label, split)
    _name_panels(
        axes, [f"F1, {SPLIT_WORDS[split]}" for split in SPLITS], [f"by {LABEL_WORDS[label]}" for label in labels]
    )
    layer_legend(figure, run)
    return figure


def figure_6(run: Run, split: str) -> Figure:
    """Every score of every layer over training, of one split: scores by labels."""
    title = f"Clusters over training, {SPLIT_WORDS[split]} (reducer: {REDUCERS[run.reducer]})"
    figure, axes = grid(3, 3, title, bottom=ROOM_FOR_NULLS)
    for row, score in zip(axes, SCORE_WORDS, strict=True):
        for panel, label in zip(row, LABELS, strict=True):
            layer_curves(panel, run, score, label, split)
    _name_panels(axes, SCORE_WORDS.values(), [f"by {LABEL_WORDS[label]}" for label in LABELS])
    layer_legend(figure, run)
    return figure


def figure_3(run: Run) -> Figure:
    """Training loss and the two accuracies over training.

    For similar tasks an accuracy has a second line: any output its task identity has for the input is right (B.1).
    """
    panels = (
        ("training_loss", "(a) training loss", "nats per token"),
        ("training_subset_accuracy", "(b) training subset", "task accuracy"),
        ("validation_accuracy", "(c) validation", "task accuracy"),
    )
    if not any(run.metrics.get(name) for name, _, _ in panels):
        raise NotRun("there are no metrics of any epoch")
    figure, axes = grid(1, 3, "Learning curves", gap=0.65)
    for panel, (name, title, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        if not run.metrics.get(name):
            say_not_run(panel, f"no {name.replace('_', ' ')}")
            continue
        identity = name.replace("_accuracy", "_identity_accuracy")
        if identity != name and identity in run.metrics:
            draw_curve(panel, run.metrics[identity], run.deviations.get(identity), color=CATEGORIES[1])
        draw_curve(panel, run.metrics[name], run.deviations.get(name), color=CATEGORIES[0])
        mark_best(panel, run)
        panel.set(xlabel="epoch", ylabel=unit)
        panel.set_ylim(bottom=0 if name == "training_loss" else -0.03, top=None if name == "training_loss" else 1.03)
        _epoch_axis(panel)
    handles = [Line2D([], [], color=CATEGORIES[0], label="value after each epoch")]
    if any(name.endswith("_identity_accuracy") for name in run.metrics):
        handles[0].set_label("output of the instance's own task")
        handles.append(Line2D([], [], color=CATEGORIES[1], label="any output of its task identity for this input"))
    legend(figure, [*handles, *best_handle(run), *seeds_handle(run)])
    return figure


def figure_4(run: Run) -> Figure:
    """Nearest neighbours of validation instances in the training set, by layer over training."""
    panels = (
        ("knn_percentage", "task", "(a) neighbours with the same task", "share of the neighbours"),
        ("knn_accuracy", "output", "(b) kNN accuracy", "share of correct outputs"),
    )
    if not any(run.curve(score, label, "validation", layer) for score, label, _, _ in panels for layer in run.layers):
        raise NotRun("the nearest neighbours have not been analysed")
    title = "Nearest training neighbours of unseen instances (raw states)"
    figure, axes = grid(1, 2, title, panel=(2.9, 1.8), gap=0.65, bottom=ROOM_FOR_NULLS)
    for panel, (score, label, title, unit) in zip(axes[0], panels, strict=True):
        layer_curves(panel, run, score, label, "validation")
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch", ylabel=unit)
    layer_legend(figure, run)
    return figure


def figure_15(run: Run) -> Figure:
    """Pearson r between performance and clusters, layer by layer."""
    rows, deviations = correlations(run), correlation_deviations(run)
    title = f"Task performance and task clusters, validation ({REDUCERS[run.reducer]})"
    figure, axes = grid(1, 1, title, panel=(5.5, 2.7))
    panel = axes[0, 0]
    for (performance, score), values in rows.items():
        line = {
            "color": CATEGORIES[list(SCORE_WORDS).index(score)],
            "linestyle": "-" if performance == "accuracy" else "--",
            "marker": "o" if performance == "accuracy" else "s",
        }
        places = [run.layers.index(layer) for layer in run.indices]
        draw_curve(
            panel,
            {place: values[layer] for place, layer in zip(places, run.indices, strict=True)},
            deviations and {place: deviations[performance, score][run.layers[place]] for place in places},
            markersize=4,
            **line,
        )
        if FINAL_NORM in values:  # apart: it is no block
            panel.plot(run.layers.index(FINAL_NORM), values[FINAL_NORM], markersize=4, mfc="white", **line)
    for threshold in (-0.6, 0.6):
        panel.axhline(threshold, color=".3", linestyle=":", linewidth=1)
    panel.set(
        ylim=(-1.05, 1.05), xlim=(-0.4, len(run.layers) - 0.6), xlabel="layer", ylabel="Pearson r over the epochs"
    )
    panel.set_xticks(range(len(run.layers)), [layer_words(layer) for layer in run.layers])
    handles = [Line2D([], [], color=c, label=w) for c, w in zip(CATEGORIES, SCORE_WORDS.values(), strict=False)]
    handles += [
        Line2D([], [], color=".3", linestyle="-", marker="o", markersize=4, label="with accuracy"),
        Line2D([], [], color=".3", linestyle="--", marker="s", markersize=4, label="with loss"),
        Line2D([], [], color=".3", linestyle=":", label="±.6"),
        *seeds_handle(run),
    ]
    legend(figure, handles)
    return figure


def figure_variance(run: Run) -> Figure:
    """Share of the states' variance that each label explains, by layer over training (ours)."""
    curves = [
        run.curve("variance_share", label, "validation", layer) for label in VARIANCE_LABELS for layer in run.layers
    ]
    if not any(curves):
        raise NotRun("the shares of variance have not been computed")
    title = "Variance of the hidden states explained by each label, validation (raw states)"
    figure, axes = grid(2, 3, title)
    for panel, label in zip(axes.flat, VARIANCE_LABELS, strict=True):
        layer_curves(panel, run, "variance_share", label, "validation")
        panel.set_title(f"by {LABEL_WORDS[label]}", loc="left")
    for panel in axes[:, 0]:
        panel.set_ylabel("share of variance")
    for panel in axes[-1]:
        panel.set_xlabel("epoch")
    layer_legend(figure, run)
    return figure


def figure_spaces(run: Run) -> Figure:
    """Task F1 as it is, after t-SNE, and without what the input symbol explains, side by side (ours)."""
    present = [space for space in SPACES if any(key[3] == space for key in run.curves)]
    if len(present) < 2:
        raise NotRun("only one space has been scored")
    figure, axes = grid(2, len(present), "Task clusters in each space, F1", panel=(2.6, 1.4), bottom=ROOM_FOR_NULLS)
    for row, split in zip(axes, SPLITS, strict=True):
        for panel, space in zip(row, present, strict=True):
            layer_curves(panel, run, "f1", "task", split, space)
    columns = [SPACES[space] + (" (in the other figures)" if space == run.reducer else "") for space in present]
    _name_panels(axes, [f"F1, {SPLIT_WORDS[split]}" for split in SPLITS], columns)
    layer_legend(figure, run)
    return figure


def figure_hard(run: Run) -> Figure:
    """Where the hard examples sit, by layer over training: with their own task or with their original's (ours)."""
    panels = {"hard_with_own": "(a) with their own task", "hard_with_original": "(b) with their original's task"}
    if not any(run.curve(score, "task", "training_subset", layer) for score in panels for layer in run.layers):
        raise NotRun("there are no hard examples, or their clusters have not been looked at")
    title = f"Hard examples of the training subset (reducer: {REDUCERS[run.reducer]})"
    figure, axes = grid(1, 2, title, panel=(2.9, 1.8), gap=0.65)
    for panel, (score, title) in zip(axes[0], panels.items(), strict=True):
        layer_curves(panel, run, score, "task", "training_subset")
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch", ylabel="share of the hard examples")
    layer_legend(figure, run)
    return figure


def layer_curves(panel: Axes, run: Run, score: str, label: str, split: str, reducer: str | None = None) -> None:
    """One panel: a score of every layer over the epochs, between 0 and 1, and what the null baselines score."""
    curves = {layer: run.curve(score, label, split, layer, reducer) for layer in run.layers}
    if not any(curves.values()):
        say_not_run(panel, f"no {SCORE_WORDS.get(score, score.replace('_', ' '))} by {LABEL_WORDS[label]}")
        return
    if not score.startswith(("variance_", "hard_")):
        draw_nulls(panel, null_curves(run, score, label, split, reducer))
    for layer, curve in curves.items():
        draw_curve(panel, curve, run.deviation(score, label, split, layer, reducer), **layer_line(run, layer))
    mark_best(panel, run)
    low = min(min(curve.values(), default=0) for curve in curves.values())
    panel.set_ylim(min(low - 0.03, -0.03), 1.03)
    _epoch_axis(panel)


def _name_panels(axes: np.ndarray, rows: Iterable[str], columns: Iterable[str]) -> None:
    """Names of the columns over the first row, of the rows at the left; epochs under the last."""
    for panel, name in zip(axes[0], columns, strict=True):
        panel.set_title(name, loc="left")
    for panel, name in zip(axes[:, 0], rows, strict=True):
        panel.set_ylabel(name)
    for panel in axes[-1]:
        panel.set_xlabel("epoch")


def _epoch_axis(panel: Axes) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
