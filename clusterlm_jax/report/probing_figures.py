"""The figures of probed models over the layers: scores, and what explains the spread of the states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.figures import LABELS
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.probing_nulls import NULLS
from clusterlm_jax.report.probing_paper import NINE
from clusterlm_jax.report.probing_scatter import figure_scatter
from clusterlm_jax.report.probing_tables import chosen
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.style import BEST, CATEGORIES, NULL_LINES, ROOM_FOR_NULLS, grid, legend, say_not_run
from clusterlm_jax.report.words import LABEL_WORDS, REDUCERS, SCORE_WORDS, SHORT_REDUCERS

SPREAD_LABELS = (*LABELS, "position")
NULL_STYLES = {"words": NULL_LINES["symbols"]} | NULL_LINES
CHOSEN = {"marker": "D", "markersize": 4.5, "markeredgecolor": "black", "linestyle": ""}
PAPER = {"linestyle": (0, (7, 1.5, 1, 1.5)), "linewidth": 0.9}


class Line(NamedTuple):
    """A line over the layers.

    Attributes:
      layer: the chosen one, empty where it was chosen with another reducer.
      words: what the legend calls it.
      style: its colour, and how it is drawn.
    """

    probe: Probe
    reducer: str
    layer: str
    words: str
    style: Mapping[str, str]


def figure_layers(probes: Sequence[Probe]) -> Figure:
    """Every score over the layers, scores by labels: of one model with each reducer, of several with the chosen one."""
    found = list(chosen(probes))
    lines = _both_reducers(*found[0]) if len(found) == 1 else _chosen_reducers(found)
    subject = f": {found[0][0].name}" if len(found) == 1 else ", each model with its chosen reducer"
    figure, axes = grid(3, 3, f"Clusters over the layers{subject}", bottom=ROOM_FOR_NULLS)
    for row, (score, words) in zip(axes, SCORE_WORDS.items(), strict=True):
        row[0].set_ylabel(words)
        for panel, label in zip(row, LABELS, strict=True):
            _score_panel(panel, lines, label, score, with_nulls=len(found) == 1)
    for panel, label in zip(axes[0], LABELS, strict=True):
        panel.set_title(f"by {LABEL_WORDS[label]}", loc="left")
    for panel in axes[-1]:
        panel.set_xlabel("layer")
    drawn = {line.get_label() for panel in axes.flat for line in panel.lines}
    nulls = [
        Line2D([], [], label=words, linewidth=0.9, **NULL_STYLES[name])
        for name, words in NULLS.items()
        if words in drawn
    ]
    height = legend(figure, nulls) if nulls else 0.0
    handles = [Line2D([], [], label=line.words, **line.style) for line in lines]
    handles.append(Line2D([], [], label="chosen layer", color="white", **CHOSEN))
    if any(line.probe.paper for line in lines):
        handles.append(Line2D([], [], label="the paper's table 1", color=".3", **PAPER))
    legend(figure, handles, above=height)
    return figure


def _both_reducers(probe: Probe, reducer: str, layer: str) -> list[Line]:
    """A line for each reducer that has been scored."""
    return [
        Line(probe, name, layer if name == reducer else "", words, {"color": colour})
        for (name, words), colour in zip(REDUCERS.items(), CATEGORIES, strict=False)
        if probe.scored[name]
    ]


def _chosen_reducers(found: Sequence[tuple[Probe, str, str]]) -> list[Line]:
    """A line for each model, dotted where its weights are random."""
    lines = []
    for number, (probe, reducer, layer) in enumerate(found):
        style = {"color": CATEGORIES[number % len(CATEGORIES)]}
        if probe.random_weights:
            style |= {"linestyle": ":", "marker": ""}
        lines.append(Line(probe, reducer, layer, f"{probe.name}: {SHORT_REDUCERS[reducer]}", style))
    return lines


def _score_panel(panel: Axes, lines: Sequence[Line], label: str, score: str, with_nulls: bool) -> None:
    """A score by one label: nulls behind, the paper's number as a level line, our lines with their chosen layers."""
    curves = [line.probe.curve(label, line.reducer, score) for line in lines]
    if not any(curves):
        say_not_run(panel, f"no {SCORE_WORDS[score]} by {LABEL_WORDS[label]}")
        return
    depth = max(len(line.probe.layers) for line in lines) - 2
    if with_nulls:
        _draw_nulls(panel, lines[0].probe, label, score, depth)
    for line, curve in zip(lines, curves, strict=True):
        if line.probe.paper and line.layer:
            panel.axhline(line.probe.paper.scores[NINE.index((label, score))], color=line.style["color"], **PAPER)
        _draw_curve(panel, curve, depth, **line.style)
    for line, curve in zip(lines, curves, strict=True):
        if line.layer in curve:
            panel.plot(_place(line.layer, depth), curve[line.layer], color=line.style["color"], **CHOSEN)
    panel.set_ylim(-0.05, 1.03)
    _layer_axis(panel, depth)


def _draw_nulls(panel: Axes, probe: Probe, label: str, score: str, depth: int) -> None:
    """The nulls with the chosen reducer, thin and behind the curves."""
    reducer, _ = probe.chosen
    thin = {"linewidth": 0.9, "zorder": 1.5}
    words = probe.words.get(("0", label, reducer, score))
    if words is not None:
        panel.axhline(words, label=NULLS["words"], **thin, **NULL_STYLES["words"])
    for name in ("regrouped", "shuffled"):
        curve = probe.curve(f"{name}_{label}", reducer, score)
        if curve:
            _draw_curve(panel, curve, depth, label=NULLS[name], marker="", **thin, **NULL_STYLES[name])


def figure_spread(probes: Sequence[Probe]) -> Figure:
    """Share of the raw states' variance that each label explains, over the layers: a panel for each model."""
    found = [probe for probe in probes if any(_shares(probe).values())]
    if not found:
        raise NotRun("the shares of variance have not been computed")
    columns = min(len(found), 2)
    title = "Variance of the hidden states explained by each label (raw states)"
    size = (5.5, 2.2) if columns == 1 else (3.0, 1.5)
    figure, axes = grid(math.ceil(len(found) / columns), columns, title, panel=size)
    for panel, probe in zip(axes.flat, found, strict=False):
        depth = len(probe.layers) - 2
        for curve, colour in zip(_shares(probe).values(), CATEGORIES, strict=False):
            _draw_curve(panel, curve, depth, color=colour)
        if any(probe.scored.values()):
            panel.axvline(_place(probe.chosen[1], depth), zorder=1, **BEST)
        panel.set_title(probe.name, loc="left")
        panel.set_ylim(-0.03, 1.03)
        _layer_axis(panel, depth)
    for panel in axes[:, 0]:
        panel.set_ylabel("share of variance")
    for panel in axes.flat[len(found) - columns : len(found)]:
        panel.set_xlabel("layer")
    for panel in axes.flat[len(found) :]:
        panel.set_axis_off()
    labels = zip(SPREAD_LABELS, CATEGORIES, strict=False)
    handles = [Line2D([], [], color=colour, label=f"by {LABEL_WORDS[label]}") for label, colour in labels]
    legend(figure, [*handles, Line2D([], [], label="chosen layer", **BEST)])
    return figure


def _shares(probe: Probe) -> dict[str, dict[str, float]]:
    return {label: probe.curve(label, "none", "variance_share") for label in SPREAD_LABELS}


def _draw_curve(panel: Axes, curve: Mapping[str, float], depth: int, **style: object) -> None:
    """A line over the layers, broken where one is not scored; the final norm, which is no layer, apart and hollow."""
    style = {"marker": "o", "markersize": 1.8} | style
    layers = range(1 + max((int(layer) for layer in curve if layer != FINAL_NORM), default=0))
    panel.plot(layers, [curve.get(str(layer), math.nan) for layer in layers], **style)
    if FINAL_NORM in curve:
        hollow = {"marker": "o", "markersize": 3.0, "markerfacecolor": "white", "linestyle": "", "label": "_"}
        panel.plot(_place(FINAL_NORM, depth), curve[FINAL_NORM], **(style | hollow))


def _place(layer: str, depth: int) -> float:
    """Where a layer stands on an axis of so many blocks: the final norm apart, right of the last."""
    return depth + max(0.12 * depth, 1) if layer == FINAL_NORM else int(layer)


def _layer_axis(panel: Axes, depth: int) -> None:
    """About four numbers, and the final norm by name."""
    end = _place(FINAL_NORM, depth)
    ticks = [tick for tick in range(0, depth + 1, max(round(depth / 4), 1)) if end - tick > 0.15 * end]
    panel.set_xticks([*ticks, end], [*map(str, ticks), "norm"])
    panel.set_xlim(-0.03 * end, 1.04 * end)


FIGURES = (
    FigureEntry(
        "figure_probing_layers",
        "Clusters over the layers (behind table 1)",
        "The paper reports one layer, that with the best task F1; ours is the diamond. Level lines of dashes and dots "
        "are its table 1, where the model is one of the paper's. Hollow: the state after the final norm. Of one model "
        "both reducers are drawn, and in thin grey what holds no clusters of the model's, with the chosen reducer: the "
        "prompts' bags of words, whole tasks dealt anew to the categories, labels dealt anew. Of several models each "
        "is drawn with its chosen reducer; one with random weights is dotted, and is itself a null.",
        lambda probes, spec: figure_layers(probes),
    ),
    FigureEntry(
        "figure_probing_scatter",
        "The chosen layer in its t-SNE space (ours)",
        "Every prompt is a point, on the left by category, on the right by task; tasks of one category have related "
        "colours. The F1 over each panel is of clusters found in this very space, by category and by task. Where the "
        "layer was chosen without reduction, this is still its t-SNE space.",
        figure_scatter,
    ),
    FigureEntry(
        "figure_probing_spread",
        "What explains the spread of the states (ours)",
        "The between-group share of the variance of the raw states, without any clustering: what KMeans has to follow. "
        "The position is that of the last token: prompts differ in length.",
        lambda probes, spec: figure_spread(probes),
    ),
)
