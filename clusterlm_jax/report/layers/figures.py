"""Figures over the layers of a model, or of several: the clusters by each label, and what explains the spread."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report import drawing
from clusterlm_jax.report.drawing import BEST, CATEGORIES, NULL_LINES
from clusterlm_jax.report.layers.scores import Key, LayerScores, with_scores
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import LABEL_WORDS, REDUCERS, SCORE_WORDS, SHORT_REDUCERS

NULL_STYLES = {"words": NULL_LINES["symbols"]} | NULL_LINES
THIN = {"linewidth": 0.9, "zorder": 1.5}  # nulls, behind the curves
CHOSEN = {"marker": "D", "markersize": 4.5, "markeredgecolor": "black", "linestyle": ""}
PAPER = {"linestyle": (0, (7, 1.5, 1, 1.5)), "linewidth": 0.9}
LONG_NAME = 6  # letters of a layer's name that fit under an axis side by side with others


class LayerAxis(NamedTuple):
    """Where layers stand on an axis: in their order, and the final norm, which is no block, apart."""

    names: tuple[str, ...]

    @property
    def last(self) -> int:
        return len(self.names) - 1 - (FINAL_NORM in self.names)

    @property
    def end(self) -> float:
        return self.last + max(0.12 * self.last, 1) if FINAL_NORM in self.names else max(self.last, 1)

    def place(self, layer: str) -> float:
        return self.end if layer == FINAL_NORM else self.names.index(layer)

    def draw(self, panel: Axes) -> None:
        """About four names, and the final norm."""
        ticks = [*range(0, self.last + 1, max(round(self.last / 4), 1))]
        names = [self.names[tick] for tick in ticks]
        if FINAL_NORM in self.names:
            ticks = [tick for tick in ticks if self.end - tick > 0.15 * self.end]
            ticks, names = [*ticks, self.end], [*names[: len(ticks)], "norm"]
        panel.set_xticks(ticks, names)
        if max(map(len, names)) > LONG_NAME:
            panel.tick_params(axis="x", labelrotation=20, labelsize=6)
        panel.set_xlim(-0.03 * self.end, 1.04 * self.end)


def axis_of(subjects: Sequence[LayerScores]) -> LayerAxis:
    """The axis of the deepest."""
    return LayerAxis(max((subject.layers for subject in subjects), key=len))


class Line(NamedTuple):
    """A line over the layers, and what the legend calls it."""

    subject: LayerScores
    reducer: str
    words: str
    style: Mapping[str, str]

    @property
    def chosen(self) -> bool:
        return self.subject.chosen.reducer == self.reducer


def over_layers(subjects: Sequence[LayerScores]) -> Figure:
    """Every score over the layers, scores by labels: of one model with each reducer, of several with the chosen one."""
    found = with_scores(subjects)
    alone, lead, axis = len(found) == 1, found[0], axis_of(found)
    lines = _lines(found)
    subtitle = lead.name if alone else "each model with its chosen reducer"
    size = (len(SCORE_WORDS), len(lead.labels))
    drawn, axes = drawing.grid(*size, subtitle, bottom=drawing.ROOM_FOR_NULLS)
    for panel, (label, score) in zip(axes.T.flat, itertools.product(lead.labels, SCORE_WORDS), strict=True):
        _score_panel(panel, lines, axis, label, score, with_nulls=alone)
    columns = [f"by {lead.label_words[label]}" for label in lead.labels]
    drawing.name_panels(axes, SCORE_WORDS.values(), columns, below="layer")
    height = drawing.null_legend(drawn, lead.null_words, NULL_STYLES)
    handles = [Line2D([], [], label=line.words, **line.style) for line in lines]
    handles.append(Line2D([], [], label="chosen layer", color="white", **CHOSEN))
    if any(line.subject.paper_score(lead.labels[0], "f1") for line in lines):
        handles.append(Line2D([], [], label="the paper's table 1", color=".3", **PAPER))
    drawing.legend(drawn, handles, above=height)
    return drawn


def _lines(subjects: Sequence[LayerScores]) -> list[Line]:
    """Of one model a line for each reducer that has been scored; of several one each, dotted if weights are random."""
    if len(subjects) == 1:
        named = [(subjects[0], reducer, words) for reducer, words in REDUCERS.items()]
    else:
        places = [(subject, subject.chosen.reducer) for subject in subjects]
        named = [(subject, reducer, f"{subject.name}: {SHORT_REDUCERS[reducer]}") for subject, reducer in places]
    lines = []
    for number, (subject, reducer, words) in enumerate(named):
        dotted = {"linestyle": ":", "marker": ""} if subject.random_weights and len(subjects) > 1 else {}
        lines.append(Line(subject, reducer, words, {"color": CATEGORIES[number % len(CATEGORIES)], **dotted}))
    return [line for line in lines if line.subject.scored[line.reducer]]


def _score_panel(panel: Axes, lines: Sequence[Line], axis: LayerAxis, label: str, score: str, with_nulls: bool) -> None:
    """A score by one label: nulls behind, the paper's number as a level line, our lines with their chosen layers."""
    curves = [line.subject.curve(label=label, reducer=line.reducer, score=score) for line in lines]
    if not any(curves):
        drawing.say_not_run(panel, f"no {SCORE_WORDS[score]} by {lines[0].subject.label_words[label]}")
        return
    if with_nulls:
        _draw_nulls(panel, lines[0].subject, label, score, axis)
    for line, curve in zip(lines, curves, strict=True):
        paper = line.subject.paper_score(label, score)
        if paper is not None and line.chosen:
            panel.axhline(paper, color=line.style["color"], **PAPER)
        draw_curve(panel, curve, axis, **line.style)
    for line, curve in zip(lines, curves, strict=True):
        layer = line.subject.chosen.layer
        if line.chosen and layer in curve:
            panel.plot(axis.place(layer), curve[layer], color=line.style["color"], **CHOSEN)
    lowest = min(value for curve in curves for value in curve.values())
    panel.set_ylim(min(lowest - 0.03, -0.05), 1.03)
    axis.draw(panel)


def _draw_nulls(panel: Axes, subject: LayerScores, label: str, score: str, axis: LayerAxis) -> None:
    """The nulls with the chosen reducer."""
    reducer = subject.chosen.reducer
    words = subject.words.get(Key("0", label, reducer, score))
    if words is not None:
        panel.axhline(words, label=subject.null_words["words"], **THIN, **NULL_STYLES["words"])
    for name in ("regrouped", "shuffled"):
        if curve := subject.curve(label=f"{name}_{label}", reducer=reducer, score=score):
            draw_curve(panel, curve, axis, label=subject.null_words[name], marker="", **THIN, **NULL_STYLES[name])


def spread(subjects: Sequence[LayerScores]) -> Figure:
    """Share of the raw states' variance that each label explains, over the layers: a panel for each model."""
    found = [subject for subject in subjects if any(_shares(subject))]
    if not found:
        raise NotRun("the shares of variance have not been computed")
    columns = min(len(found), 2)
    size = (5.5, 2.2) if columns == 1 else (3.0, 1.5)
    drawn, axes = drawing.grid(math.ceil(len(found) / columns), columns, "raw states", panel=size)
    for panel, subject in zip(axes.flat, found, strict=False):
        axis = LayerAxis(subject.layers)
        for curve, colour in zip(_shares(subject), itertools.cycle(CATEGORIES), strict=False):
            draw_curve(panel, curve, axis, color=colour)
        if subject.clusterings:
            panel.axvline(axis.place(subject.chosen.layer), zorder=1, **BEST)
        panel.set_title(subject.name, loc="left")
        panel.set_ylim(-0.03, 1.03)
        axis.draw(panel)
    for panel in axes[:, 0]:
        panel.set_ylabel("share of variance")
    for panel in axes.flat[len(found) - columns : len(found)]:
        panel.set_xlabel("layer")
    for panel in axes.flat[len(found) :]:
        panel.set_axis_off()
    labels, words = _spread_labels(found[0]), LABEL_WORDS | found[0].label_words
    named = zip(labels, itertools.cycle(CATEGORIES), strict=False)
    handles = [Line2D([], [], color=colour, label=f"by {words[label]}") for label, colour in named]
    drawing.legend(drawn, [*handles, Line2D([], [], label="chosen layer", **BEST)])
    return drawn


def _shares(subject: LayerScores) -> list[dict[str, float]]:
    return [subject.curve(label=label, reducer="none", score="variance_share") for label in _spread_labels(subject)]


def _spread_labels(subject: LayerScores) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*subject.labels, "position")))


def draw_curve(panel: Axes, curve: Mapping[str, float], axis: LayerAxis, **style: object) -> None:
    """A line over the layers, broken where one is not scored; the final norm apart and hollow."""
    style = {"marker": "o", "markersize": 1.8} | style
    last = max((axis.names.index(layer) for layer in curve if layer != FINAL_NORM), default=0)
    panel.plot(range(1 + last), [curve.get(layer, math.nan) for layer in axis.names[: 1 + last]], **style)
    if FINAL_NORM in curve:
        hollow = {"marker": "o", "markersize": 3.0, "markerfacecolor": "white", "linestyle": "", "label": "_"}
        panel.plot(axis.end, curve[FINAL_NORM], **(style | hollow))
