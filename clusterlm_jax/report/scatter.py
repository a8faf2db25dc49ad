"""The t-SNE space at a few epochs, so that one sees clusters form (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.axes3d import Axes3D

from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.style import CATEGORIES, add_title, legend
from clusterlm_jax.report.words import layer_words

MARKERS = "o^sDvP"
PANEL = 2.15  # inches
LEGEND_LIMIT = 24  # more tasks than this cannot be told apart by a legend


def figure_scatter(run: Run, spec: ReportSpec) -> Figure:
    """Validation states of one layer in their t-SNE space, one epoch beside the other, by task; the first seed's."""
    seed = f", seed {run.seeds[0]}" if run.members else ""
    run = run.each_seed[0]
    layer = spec.scatter_layer or _layer(run)
    paths = run.embeddings.get(layer, {})
    epochs = _epochs(run, spec, tuple(paths))
    if not epochs:
        raise NotRun(f"there are no t-SNE coordinates of the validation split at layer {layer}")
    width, height = PANEL * len(epochs) + 0.2, PANEL + 0.8
    figure = Figure(figsize=(width, height))
    title = f"t-SNE space of the validation states, {layer_words(layer)}, by task{seed}"
    add_title(figure, title)
    for place, epoch in enumerate(epochs):
        axes = figure.add_axes((place / len(epochs), 0.28 / height, 1 / len(epochs), PANEL / height), projection="3d")
        with np.load(paths[epoch]) as embedding:
            coordinates_N3, task_N = embedding["coordinates_N3"], embedding["task"]
        _draw_points(axes, coordinates_N3, task_N)
        axes.set_title(_panel_title(run, layer, epoch), y=1.0)
    _task_legend(figure, np.unique(task_N))
    return figure


def _layer(run: Run) -> str:
    """The best layer if it is known and has coordinates, else the highest block that has."""
    if not run.embeddings:
        raise NotRun("there are no t-SNE coordinates of the validation split")
    try:
        best = run.best_layer
    except NotRun:
        best = ""
    return best if best in run.embeddings else max(run.embeddings, key=lambda name: (name.isdecimal(), len(name), name))


def _epochs(run: Run, spec: ReportSpec, available: Sequence[int]) -> tuple[int, ...]:
    """Those asked for that are there; by default the first, two on the way to the best, the best and the last."""
    if spec.scatter_epochs or not available:
        return tuple(epoch for epoch in sorted(set(spec.scatter_epochs)) if epoch in available)
    first, last = available[0], available[-1]
    best = max((epoch for epoch in available if epoch <= (run.best_epoch or 0)), default=first)
    end = best if best > first else last
    wanted = (first, first + (end - first) / 3, first + 2 * (end - first) / 3, best, last)
    return tuple(sorted({min(available, key=lambda epoch: abs(epoch - target)) for target in wanted}))


def _panel_title(run: Run, layer: str, epoch: int) -> str:
    name = f"epoch {epoch}" + (" (best)" if epoch == run.best_epoch else "")
    score = run.curve("f1", "task", "validation", layer, "tsne").get(epoch)
    return name if score is None else f"{name}, F1 {score:.2f}"


def _draw_points(axes: Axes3D, coordinates_N3: np.ndarray, task_N: np.ndarray) -> None:
    for place, task in enumerate(np.unique(task_N)):
        axes.scatter(*coordinates_N3[task_N == task].T, s=7, linewidths=0, alpha=0.85, **_mark(place))
    dress(axes)


def dress(axes: Axes3D, zoom: float = 0.87) -> None:
    """The axes of a t-SNE space: named, and without numbers, which mean nothing in it."""
    axes.set_box_aspect(None, zoom=zoom)  # in a square, below 1: room for the name of the third axis
    axes.tick_params(labelbottom=False, labelleft=False, labelright=False, length=0)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), ("t-SNE 1", "t-SNE 2", "t-SNE 3"), strict=True):
        axis.set_label_text(name, fontsize=6.5)
        axis.labelpad = -13
        axis.set_pane_color((0.98, 0.98, 0.98))


def _mark(place: int) -> dict[str, str]:
    """A colour and, once the colours are used up, another marker."""
    return {
        "color": CATEGORIES[place % len(CATEGORIES)],
        "marker": MARKERS[place // len(CATEGORIES) % len(MARKERS)],
    }


def _task_legend(figure: Figure, tasks: np.ndarray) -> None:
    if len(tasks) > LEGEND_LIMIT:
        return
    handles = [
        Line2D([], [], linestyle="", markersize=4, label=f"task {task}", **_mark(place))
        for place, task in enumerate(tasks)
    ]
    legend(figure, handles)
