"""The figures of probed models over the layers: scores, and what explains the spread of the states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.probing.nulls import NULLS
from clusterlm_jax.experiments.probing.probe import Key, Probe, with_scores
from clusterlm_jax.experiments.probing.scatter import scatter
from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report import drawing
from clusterlm_jax.report.drawing import BEST, CATEGORIES, NULL_LINES
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.paper import NINE
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, REDUCERS, SCORE_WORDS, SHORT_REDUCERS

SPREAD_LABELS = (*LABELS, "position")
NULL_STYLES = {"words": NULL_LINES["symbols"]} | NULL_LINES
THIN = {"linewidth": 0.9, "zorder": 1.5}  # nulls, behind the curves
CHOSEN = {"marker": "D", "markersize": 4.5, "markeredgecolor": "black", "linestyle": ""}
PAPER = {"linestyle": (0, (7, 1.5, 1, 1.5)), "linewidth": 0.9}


class Line(NamedTuple):
    """A line over the layers, and what the legend calls it."""

    probe: Probe
    reducer: str
    words: str
    style: Mapping[str, str]

    @property
    def chosen(self) -> bool:
        return self.probe.chosen.reducer == self.reducer


@figure(
    "figure_probing_layers",
    "Clusters over the layers, behind table 1",
    "The paper reports one layer, the one with the best task F1; ours is the diamond. Where the model is one of the "
    "paper's, a level line of dashes and dots is its table 1. Hollow: the state after the final norm. Of one model "
    "both reducers are drawn, and the null baselines with the chosen one. Of several models each is drawn with its "
    "chosen reducer; one with random weights is dotted, and is itself a null.",
)
def over_layers(probes: Sequence[Probe]) -> Figure:
    """Every score over the layers, scores by labels: of one model with each reducer, of several with the chosen one."""
    found = with_scores(probes)
    alone = len(found) == 1
    lines = _lines(found)
    subject = found[0].name if alone else "each model with its chosen reducer"
    drawn, axes = drawing.grid(3, 3, subject, bottom=drawing.ROOM_FOR_NULLS)
    for panel, (label, score) in zip(axes.T.flat, NINE, strict=True):
        _score_panel(panel, lines, label, score, with_nulls=alone)
    drawing.name_panels(axes, SCORE_WORDS.values(), [f"by {LABEL_WORDS[label]}" for label in LABELS], below="layer")
    height = drawing.null_legend(drawn, NULLS, NULL_STYLES)
    handles = [Line2D([], [], label=line.words, **line.style) for line in lines]
    handles.append(Line2D([], [], label="chosen layer", color="white", **CHOSEN))
    if any(line.probe.paper for line in lines):
        handles.append(Line2D([], [], label="the paper's table 1", color=".3", **PAPER))
    drawing.legend(drawn, handles, above=height)
    return drawn


def _lines(probes: Sequence[Probe]) -> list[Line]:
    """Of one model a line for each reducer that has been scored; of several one each, dotted if weights are random."""
    if len(probes) == 1:
        named = [(probes[0], reducer, words) for reducer, words in REDUCERS.items()]
    else:
        places = [(probe, probe.chosen.reducer) for probe in probes]
        named = [(probe, reducer, f"{probe.name}: {SHORT_REDUCERS[reducer]}") for probe, reducer in places]
    lines = []
    for number, (probe, reducer, words) in enumerate(named):
        dotted = {"linestyle": ":", "marker": ""} if probe.random_weights and len(probes) > 1 else {}
        lines.append(Line(probe, reducer, words, {"color": CATEGORIES[number % len(CATEGORIES)], **dotted}))
    return [line for line in lines if line.probe.scored[line.reducer]]


def _score_panel(panel: Axes, lines: Sequence[Line], label: str, score: str, with_nulls: bool) -> None:
    """A score by one label: nulls behind, the paper's number as a level line, our lines with their chosen layers."""
    curves = [line.probe.curve(label=label, reducer=line.reducer, score=score) for line in lines]
    if not any(curves):
        drawing.say_not_run(panel, f"no {SCORE_WORDS[score]} by {LABEL_WORDS[label]}")
        return
    depth = max(len(line.probe.layers) for line in lines) - 2
    if with_nulls:
        _draw_nulls(panel, lines[0].probe, label, score, depth)
    for line, curve in zip(lines, curves, strict=True):
        if line.probe.paper and line.chosen:
            panel.axhline(line.probe.paper.scores[NINE.index((label, score))], color=line.style["color"], **PAPER)
        _draw_curve(panel, curve, depth, **line.style)
    for line, curve in zip(lines, curves, strict=True):
        layer = line.probe.chosen.layer
        if line.chosen and layer in curve:
            panel.plot(_place(layer, depth), curve[layer], color=line.style["color"], **CHOSEN)
    panel.set_ylim(-0.05, 1.03)
    _layer_axis(panel, depth)


def _draw_nulls(panel: Axes, probe: Probe, label: str, score: str, depth: int) -> None:
    """The nulls with the chosen reducer."""
    reducer = probe.chosen.reducer
    words = probe.words.get(Key("0", label, reducer, score))
    if words is not None:
        panel.axhline(words, label=NULLS["words"], **THIN, **NULL_STYLES["words"])
    for name in ("regrouped", "shuffled"):
        if curve := probe.curve(label=f"{name}_{label}", reducer=reducer, score=score):
            _draw_curve(panel, curve, depth, label=NULLS[name], marker="", **THIN, **NULL_STYLES[name])


@figure(
    "figure_probing_spread",
    "What explains the spread of the states",
    "The between-group share of the variance of the raw states, without any clustering: what KMeans has to follow. "
    "The position is that of the last token: prompts differ in length.",
)
def spread(probes: Sequence[Probe]) -> Figure:
    """Share of the raw states' variance that each label explains, over the layers: a panel for each model."""
    found = [probe for probe in probes if any(_shares(probe))]
    if not found:
        raise NotRun("the shares of variance have not been computed")
    columns = min(len(found), 2)
    size = (5.5, 2.2) if columns == 1 else (3.0, 1.5)
    drawn, axes = drawing.grid(math.ceil(len(found) / columns), columns, "raw states", panel=size)
    for panel, probe in zip(axes.flat, found, strict=False):
        depth = len(probe.layers) - 2
        for curve, colour in zip(_shares(probe), CATEGORIES, strict=False):
            _draw_curve(panel, curve, depth, color=colour)
        if probe.clusterings:
            panel.axvline(_place(probe.chosen.layer, depth), zorder=1, **BEST)
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
    drawing.legend(drawn, [*handles, Line2D([], [], label="chosen layer", **BEST)])
    return drawn


def _shares(probe: Probe) -> list[dict[str, float]]:
    return [probe.curve(label=label, reducer="none", score="variance_share") for label in SPREAD_LABELS]


def _draw_curve(panel: Axes, curve: Mapping[str, float], depth: int, **style: object) -> None:
    """A line over the layers, broken where one is not scored; the final norm, which is no layer, apart and hollow."""
    style = {"marker": "o", "markersize": 1.8} | style
    places = range(1 + max((int(layer) for layer in curve if layer != FINAL_NORM), default=0))
    panel.plot(places, [curve.get(str(layer), math.nan) for layer in places], **style)
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


FIGURES = (over_layers, scatter, spread)
