"""The prompts in the t-SNE space of a probed model's layer, by category and by task (ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.probing.probe import Probe
from clusterlm_jax.report.drawing import CATEGORIES, MARKERS, add_subtitle, scatter_groups
from clusterlm_jax.report.layers.scores import Place
from clusterlm_jax.report.layers.space import layer_shown
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.reading import read_space
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.words import layer_words

SIDES = {"task": "category", "distribution": "task"}  # left and right: the column, and what a value of it is
FAMILIES = (("#7FD3F7", "#0A1F7A"), ("#FFD34D", "#8A1C00"), ("#9BE08A", "#00452F"))  # ends, for a category's tasks
WIDTH, PANEL, TITLE, ROOM = 7.7, 3.0, 0.25, 1.3  # inches: of the figure, of a panel, over it, for the legends
# There are thousands of points: small, and as a picture inside a drawing made of lines.
POINTS = {"s": 4, "alpha": 0.7, "rasterized": True}
Legend = tuple[str, str, Mapping[int, Mapping[str, str]]]  # its title, a column, and how each value of it is drawn


class Space(NamedTuple):
    """The points of one layer of a model, and their labels: int32 [instance] by column."""

    probe: Probe
    layer: str
    coordinates_N3: np.ndarray
    labels: Mapping[str, np.ndarray]


@figure(
    "figure_probing_scatter",
    "The chosen layer in its t-SNE space",
    "Every prompt is a point, on the left by category, on the right by task; tasks of one category have related "
    "colours. The F1 over each panel is of clusters found in this very space, by category and by task. Where the "
    "layer was chosen without reduction, this is still its t-SNE space.",
    with_spec=True,
)
def scatter(probes: Sequence[Probe], spec: ReportSpec) -> Figure:
    """The t-SNE space of the chosen layer, a row for each model that has coordinates."""
    shown = [(probe, layer) for probe in probes if (layer := layer_shown(probe, spec))]
    spaces = [_space(probe, layer) for probe, layer in shown]
    if not spaces:
        raise NotRun("there are no t-SNE coordinates" + f" of layer {spec.scatter_layer}" * bool(spec.scatter_layer))
    height = 0.3 + len(spaces) * (PANEL + TITLE) + ROOM
    drawn = Figure(figsize=(WIDTH, height))
    add_subtitle(drawn, "by category (left) and by task (right)")
    if left_out := [probe.name for probe in probes if probe not in {space.probe for space in spaces}]:
        words = f"without coordinates, so not shown: {', '.join(left_out)}"
        drawn.text(0.1 / WIDTH, 1 - 0.32 / height, words, va="top", fontsize=7.5, color=".35")
    legends = _legends(spaces)
    marks = {side: {} for side in SIDES}
    for _, side, drawn_as in legends:
        marks[side] |= drawn_as
    for row, space in enumerate(spaces, start=1):
        for column, side in enumerate(SIDES):
            bottom = height - 0.3 - row * (PANEL + TITLE)
            axes = drawn.add_axes((column / 2, bottom / height, 1 / 2, PANEL / height), projection="3d")
            scatter_groups(axes, space.coordinates_N3, space.labels[side], marks[side].get, zoom=1.0, **POINTS)
            f1 = space.probe.value(Place(space.layer, "tsne"), label=side)
            words = "" if f1 is None else f", F1 {f1:.2f}"
            axes.set_title(f"{space.probe.name}, {layer_words(space.layer)}{words}", y=1.0)
    _draw_legends(drawn, legends)
    return drawn


def _space(probe: Probe, layer: str) -> Space:
    space = read_space(probe.embeddings[layer], *SIDES)
    return Space(probe, layer, space["coordinates_N3"], {side: space[side] for side in SIDES})


def _legends(spaces: Sequence[Space]) -> list[Legend]:
    """The categories, then the tasks of each under its name; tasks of a category have related colours."""
    names = spaces[0].probe.dataset.get("names", {})

    def name(side: str, value: int) -> str:
        known = names.get(side, ())
        return known[value] if value < len(known) else f"{SIDES[side]} {value}"

    pairs = np.concatenate([np.stack([space.labels[side] for side in SIDES], axis=1) for space in spaces])
    pairs = np.unique(pairs, axis=0)
    categories, legends = {}, []
    for number, category in enumerate(np.unique(pairs[:, 0]).tolist()):
        words = name("task", category)
        categories[category] = {"label": words, "color": CATEGORIES[number % len(CATEGORIES)], "marker": "o"}
        tasks = pairs[pairs[:, 0] == category, 1].tolist()
        shades = LinearSegmentedColormap.from_list("family", FAMILIES[number % len(FAMILIES)])
        marks = {}
        for rank, (task, colour) in enumerate(zip(tasks, shades(np.linspace(0, 1, len(tasks))), strict=True)):
            look = {"color": to_hex(colour), "marker": MARKERS[rank % len(MARKERS)]}
            marks[task] = {"label": name("distribution", task), **look}
        legends.append((words, "distribution", marks))
    return [("Category", "task", categories), *legends]


def _draw_legends(drawn: Figure, legends: Sequence[Legend]) -> None:
    for place, (title, _, marks) in enumerate(legends):
        drawn.legend(
            handles=[Line2D([], [], linestyle="", markersize=4, **mark) for mark in marks.values()],
            title=title,
            loc="upper left",
            bbox_to_anchor=(0.04 + 0.96 * place / len(legends), ROOM / drawn.get_figheight()),
            alignment="left",
            fontsize=7.5,
            title_fontproperties={"size": 7.5, "weight": "bold"},
            handletextpad=0.3,
        )
