"""The prompts in the t-SNE space of a probed model's layer, by category and by task (ours)."""

from __future__ import annotations

import collections
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.axes3d import Axes3D

from clusterlm_jax.records import UserError
from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.scatter import MARKERS, dress
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.style import CATEGORIES, add_title
from clusterlm_jax.report.words import layer_words

SIDES = {"task": "category", "distribution": "task"}  # left and right: the column, and what a value of it is
FAMILIES = (("#7FD3F7", "#0A1F7A"), ("#FFD34D", "#8A1C00"), ("#9BE08A", "#00452F"))  # ends, for a category's tasks
WIDTH, PANEL, TITLE, ROOM = 7.7, 3.0, 0.25, 1.3  # inches: of the figure, of a panel, over it, for the legends


class Space(NamedTuple):
    """The points of one layer of a model, and their labels: int32 [instance] by column."""

    probe: Probe
    layer: str
    coordinates_N3: np.ndarray
    labels: Mapping[str, np.ndarray]


def figure_scatter(probes: Sequence[Probe], spec: ReportSpec) -> Figure:
    """The t-SNE space of the chosen layer, a row for each model that has coordinates."""
    spaces = [_space(probe, layer) for probe in probes if (layer := _layer(probe, spec))]
    if not spaces:
        raise NotRun("there are no t-SNE coordinates" + f" of layer {spec.scatter_layer}" * bool(spec.scatter_layer))
    row_height = PANEL + TITLE
    height = 0.3 + len(spaces) * row_height + ROOM
    figure = Figure(figsize=(WIDTH, height))
    add_title(figure, "t-SNE space of the prompts: by category (left) and by task (right)")
    left_out = [probe.name for probe in probes if probe not in {space.probe for space in spaces}]
    if left_out:
        words = f"without coordinates, so not shown: {', '.join(left_out)}"
        figure.text(0.1 / WIDTH, 1 - 0.32 / height, words, va="top", fontsize=7.5, color=".35")
    members = _members(spaces)
    marks = _marks(members)
    for row, space in enumerate(spaces):
        bottom = height - 0.3 - (row + 1) * row_height
        for column, side in enumerate(SIDES):
            place = (column / 2, bottom / height, 1 / 2, PANEL / height)
            axes = figure.add_axes(place, projection="3d")
            _draw_points(axes, space.coordinates_N3, space.labels[side], marks[side])
            axes.set_title(_panel_title(space, side), y=1.0)
    _legends(figure, spaces[0].probe.dataset.get("names", {}), members, marks)
    return figure


def _layer(probe: Probe, spec: ReportSpec) -> str:
    """The layer asked for, else the chosen one, else the best of those that have coordinates; empty if none has."""
    there = [layer for layer in probe.layers if layer in probe.embeddings]
    if spec.scatter_layer:
        return spec.scatter_layer if spec.scatter_layer in there else ""
    if not any(probe.scored.values()) or not there:
        return ""
    _, layer = probe.chosen
    curve = probe.curve("task", "tsne", "f1")
    return layer if layer in there else max(there, key=lambda layer: curve.get(layer, 0))


def _space(probe: Probe, layer: str) -> Space:
    path = probe.embeddings[layer]
    try:
        with path.open("rb") as file, np.load(file) as embedding:
            return Space(probe, layer, embedding["coordinates_N3"], {side: embedding[side] for side in SIDES})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no file of t-SNE coordinates ({error}): delete it to go without.") from error


def _panel_title(space: Space, side: str) -> str:
    f1 = space.probe.values.get((space.layer, side, "tsne", "f1"))
    words = "" if f1 is None else f", F1 {f1:.2f}"
    return f"{space.probe.name}, {layer_words(space.layer)}{words}"


def _members(spaces: Sequence[Space]) -> dict[int, list[int]]:
    """The tasks of every category."""
    pairs_P2 = np.concatenate([np.stack([space.labels[side] for side in SIDES], axis=1) for space in spaces])
    members = collections.defaultdict(list)
    for category, task in np.unique(pairs_P2, axis=0).tolist():
        members[category].append(task)
    return dict(members)


def _marks(members: Mapping[int, Sequence[int]]) -> dict[str, dict[int, dict[str, str]]]:
    """By side, the colour and the marker of every category and every task; tasks of a category have related colours."""
    marks = {side: {} for side in SIDES}
    for number, (category, tasks) in enumerate(members.items()):
        marks["task"][category] = {"color": CATEGORIES[number % len(CATEGORIES)], "marker": "o"}
        shades = LinearSegmentedColormap.from_list("family", FAMILIES[number % len(FAMILIES)])
        for rank, task in enumerate(tasks):
            colour = to_hex(shades(rank / max(len(tasks) - 1, 1)))
            marks["distribution"][task] = {"color": colour, "marker": MARKERS[rank % len(MARKERS)]}
    return marks


def _draw_points(
    axes: Axes3D, coordinates_N3: np.ndarray, label_N: np.ndarray, marks: Mapping[int, Mapping[str, str]]
) -> None:
    """Thousands of points: small, and as a picture inside a drawing made of lines."""
    for value, mark in marks.items():
        axes.scatter(*coordinates_N3[label_N == value].T, s=4, linewidths=0, alpha=0.7, rasterized=True, **mark)
    dress(axes, zoom=1.0)


def _legends(
    figure: Figure,
    names: Mapping[str, Sequence[str]],
    members: Mapping[int, Sequence[int]],
    marks: Mapping[str, Mapping[int, Mapping[str, str]]],
) -> None:
    """Of the categories, and of the tasks of each under its name."""

    def name(side: str, value: int) -> str:
        known = names.get(side, ())
        return known[value] if value < len(known) else f"{SIDES[side]} {value}"

    groups = [("Category", "task", list(members))]
    groups += [(name("task", category), "distribution", tasks) for category, tasks in members.items()]
    for place, (title, side, values) in enumerate(groups):
        points = {"linestyle": "", "markersize": 4}
        figure.legend(
            handles=[Line2D([], [], label=name(side, value), **points, **marks[side][value]) for value in values],
            title=title,
            loc="upper left",
            bbox_to_anchor=(0.04 + 0.96 * place / len(groups), ROOM / figure.get_figheight()),
            alignment="left",
            fontsize=7.5,
            title_fontproperties={"size": 7.5, "weight": "bold"},
            handletextpad=0.3,
        )
