"""The figures of states of one's own: clusters and instruments over the layers, one layer in space, the spread."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.states.layers import NULLS, States
from clusterlm_jax.report import drawing
from clusterlm_jax.report.drawing import CATEGORIES
from clusterlm_jax.report.layers import figures as layers
from clusterlm_jax.report.layers.scores import Place, with_scores
from clusterlm_jax.report.layers.space import layer_shown
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.reading import read_space
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.words import INPUT_REMOVED, layer_words

PANELS = {  # (reducer, score): words
    ("none", "silhouette"): "silhouette",
    ("none", "tree_f1"): "best cut of a Ward tree, F1",
    (INPUT_REMOVED, "f1"): "F1 without the input's mean",
    ("none", "within_input_ari"): "ARI inside each input",
    ("none", "knn_percentage"): "neighbours of the same task",
    ("none", "across"): "those of other distributions",
    ("none", "across_same_input"): "these, same input",
    ("none", "across_other_input"): "these, another input",
    ("none", "probe_validation"): "probe on unseen distributions",
}
COLUMNS = 3
PANEL, ROOM = 2.6, 1.1  # inches: of a space, and under it for its legend
MOST_NAMES = 12  # of values in a legend

over_layers = figure(
    "figure_states_layers",
    "Clusters over the layers",
    "KMeans with as many clusters as the label has values, on the states and on their t-SNE space. The diamond is the "
    "layer with the best F1 by the first label. Thin grey: shuffled labels, and whole distributions shuffled over the "
    "tasks. Of several files each is drawn with its chosen reducer.",
)(layers.over_layers)


@figure(
    "figure_states_instruments",
    "Instruments over the layers",
    "What does not depend on the number of clusters, or is told it only inside each input. Thin grey: nulls of the "
    "first label: shuffled labels (for neighbours, the share by chance), and whole distributions shuffled over the "
    "tasks (for the probe, its control). What the labels of the file do not allow is left out.",
)
def instruments(subjects: Sequence[States]) -> Figure:
    """A panel for each score that there is; of one file a line for each label, of several one for each file."""
    found = with_scores(subjects)
    lines = [(found[0], label) for label in found[0].labels] if len(found) == 1 else [(s, s.labels[0]) for s in found]
    colours = dict(zip(lines, itertools.cycle(CATEGORIES), strict=False))
    panels = [of for of in PANELS if any(key[2:] == of for subject in found for key in subject.values)]
    if not panels:
        raise NotRun("no instrument has been run")
    rows, axis = math.ceil(len(panels) / COLUMNS), layers.axis_of(found)
    subtitle = found[0].name if len(found) == 1 else f"by {found[0].labels[0]}"
    drawn, axes = drawing.grid(rows, COLUMNS, subtitle, bottom=drawing.ROOM_FOR_NULLS)
    for panel, (reducer, score) in zip(axes.flat, panels, strict=False):
        for (subject, label), colour in colours.items():
            layers.draw_curve(panel, subject.curve(label=label, reducer=reducer, score=score), axis, color=colour)
            for null, words in NULLS.items() if len(found) == 1 and label == subject.labels[0] else ():
                if curve := subject.curve(label=f"{null}_{label}", reducer=reducer, score=score):
                    style = layers.THIN | layers.NULL_STYLES[null]
                    layers.draw_curve(panel, curve, axis, label=words, marker="", **style)
        panel.set_title(PANELS[reducer, score], loc="left")
        axis.draw(panel)
    for panel in axes.flat[len(panels) :]:
        panel.set_axis_off()
    for panel in axes.flat[max(len(panels) - COLUMNS, 0) : len(panels)]:
        panel.set_xlabel("layer")
    height = drawing.null_legend(drawn, NULLS, layers.NULL_STYLES)
    words = {line: f"by {line[1]}" if len(found) == 1 else line[0].name for line in lines}
    drawing.legend(drawn, [Line2D([], [], color=colours[line], label=words[line]) for line in lines], above=height)
    return drawn


@figure(
    "figure_states_scatter",
    "The chosen layer in its t-SNE space",
    "Every instance is a point, coloured by each label in turn. The F1 over a panel is of clusters found in this very "
    "space. Where the layer was chosen without reduction, this is still its t-SNE space.",
    with_spec=True,
)
def scatter(subjects: Sequence[States], spec: ReportSpec) -> Figure:
    """The t-SNE space of a layer of the first file that has one, a panel for each label."""
    shown = [(subject, layer) for subject in subjects if (layer := layer_shown(subject, spec))]
    if not shown:
        raise NotRun("there are no t-SNE coordinates" + f" of layer {spec.scatter_layer}" * bool(spec.scatter_layer))
    subject, layer = shown[0]
    space = read_space(subject.embeddings[layer], *subject.labels)
    columns_of_panels = min(COLUMNS, len(subject.labels))
    rows = math.ceil(len(subject.labels) / columns_of_panels)
    width, height = columns_of_panels * PANEL, 0.4 + rows * (PANEL + ROOM)
    drawn = Figure(figsize=(width, height))
    drawing.add_subtitle(drawn, f"{subject.name}, {layer_words(layer)}")
    for number, label in enumerate(subject.labels):
        row, column = divmod(number, columns_of_panels)
        bottom = (rows - 1 - row) * (PANEL + ROOM) + ROOM
        place = (column / columns_of_panels, bottom / height, 1 / columns_of_panels, (PANEL - 0.3) / height)
        axes = drawn.add_axes(place, projection="3d")
        values = np.unique(space[label]).tolist()
        marks = {value: _mark(subject, label, rank, value) for rank, value in enumerate(values)}
        drawing.scatter_groups(axes, space["coordinates_N3"], space[label], marks.get, zoom=1.0, s=5, alpha=0.7)
        f1 = subject.value(Place(layer, "tsne"), label=label)
        axes.set_title(f"by {label}" + ("" if f1 is None else f", F1 {f1:.2f}"), y=1.0)
        handles = [Line2D([], [], linestyle="", markersize=4, **mark) for mark in marks.values()][:MOST_NAMES]
        if len(marks) > MOST_NAMES:
            handles.append(Line2D([], [], linestyle="", label=f"and {len(marks) - MOST_NAMES} more"))
        corner = (place[0] + 0.02, bottom / height)
        drawn.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, fontsize=6.5, ncols=2, handletextpad=0.3)
    return drawn


def _mark(subject: States, label: str, rank: int, value: int) -> dict[str, str]:
    """Colour, marker and name of a value: colours come round again with another marker."""
    names = subject.states.get("names", {}).get(label)
    turn, place = divmod(rank, len(CATEGORIES))
    marker = drawing.MARKERS[turn % len(drawing.MARKERS)]
    return {"label": names[value] if names else str(value), "color": CATEGORIES[place], "marker": marker}


spread = figure(
    "figure_states_spread",
    "What explains the spread of the states",
    "The between-group share of the variance of the states, without any clustering: what KMeans has to follow.",
)(layers.spread)

FIGURES = (over_layers, instruments, scatter, spread)
