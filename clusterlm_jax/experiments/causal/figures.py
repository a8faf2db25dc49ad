"""The figures of the causal tests: each an effect by layer, with its null baselines thin and grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.analysis.instruments.directions import CENTROIDS, MEANS, PROBE
from clusterlm_jax.experiments.causal import effects as of
from clusterlm_jax.experiments.causal.effects import (
    GIVEN_INPUT,
    OTHER_INPUTS,
    OUTCOMES,
    RANDOM,
    RESIDUAL,
    Effects,
    kind_words,
)
from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report import drawing
from clusterlm_jax.report.drawing import CATEGORIES
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import capitalised, layer_words

NULL = {"color": ".35", "linewidth": 0.9, "linestyle": (0, (1, 1.5)), "marker": "", "zorder": 1.5}
COLORS = dict(zip((MEANS, RESIDUAL, CENTROIDS, PROBE, RESIDUAL + OTHER_INPUTS), CATEGORIES, strict=False))
OUTCOME_COLORS = dict(zip(OUTCOMES, (CATEGORIES[0], CATEGORIES[1], ".6"), strict=True))


@figure(
    "figure_decodable",
    "Decodable and steerable, side by side",
    "The probe learns tasks from some instruction distributions and is tested on others. Swap and Move: how often the "
    "answer becomes the other task's output. Directions are differences of task means, added once. Those from other "
    "inputs are found in all states but those of the pair's input, less their own input's mean, and added as often as "
    "serves best. All are of the same states of the input token. Dotted: the probe's control task, random directions.",
)
def figure_decodable(effects: Effects) -> Figure:
    figure, axes = drawing.grid(1, 1, "validation", panel=(5.2, 2.2), bottom=1.0)
    strict = RESIDUAL + OTHER_INPUTS
    _, _, strength = effects.best(of.MOVE, strict, effects.blocks)
    lines = {
        "probe across distributions": (of.PROBE, of.TASK, 1, "own", {"color": "black"}),
        "Swap": (of.SWAP, of.OTHER_TASK, 1, "other", {"color": CATEGORIES[2]}),
        "Move, given the input": (of.MOVE, MEANS + GIVEN_INPUT, 1, "other", {"color": CATEGORIES[5]}),
        "Move, not given it": (of.MOVE, MEANS, 1, "other", {"color": CATEGORIES[0]}),
        f"Move, from other inputs, {strength:g} times": (
            of.MOVE,
            strict,
            strength,
            "other",
            {"color": CATEGORIES[4]},
        ),
        "nulls": (of.PROBE, of.CONTROL, 1, "own", NULL),
    }
    for test, kind, amount, outcome, look in lines.values():
        _curve(axes[0, 0], effects, test, kind, amount, outcome, **look)
    for given in ("", GIVEN_INPUT):
        _curve(axes[0, 0], effects, of.MOVE, RANDOM + given, **NULL)
    _layer_axis(axes[0, 0], effects.layers, "share")
    _legend(figure, effects, {words: look for words, (*_, look) in lines.items()})
    return figure


@figure(
    "figure_swap",
    "Swap: another instance's state in the place of the own",
    "Both instances have the same input symbol, and the model answers both right. (a) The other is of another task. "
    "(b) It is of the same task and has another instruction, a null: the answer should stay. After the last block a "
    "swapped state is the other instance's answer, by construction.",
)
def figure_swap(effects: Effects) -> Figure:
    effects.amounts(of.SWAP, of.OTHER_TASK)
    figure, axes = drawing.grid(1, 2, "at the input token, validation", panel=(2.9, 1.8), gap=0.6)
    for panel, kind, title in zip(axes[0], of.DONORS, ("(a) of another task", "(b) of the same task"), strict=True):
        draw_swap(panel, effects, kind)
        panel.set_title(title, loc="left")
    drawing.legend(figure, [*swap_handles(), *drawing.deviation_handle(effects)])
    return figure


def swap_handles() -> list[Line2D]:
    """What `draw_swap` draws."""
    return [Line2D([], [], label=f"answer: {OUTCOMES[name]}", color=color) for name, color in OUTCOME_COLORS.items()]


def draw_swap(panel: Axes, effects: Effects, kind: str = of.OTHER_TASK) -> None:
    for outcome, color in OUTCOME_COLORS.items():
        _curve(panel, effects, of.SWAP, kind, outcome=outcome, color=color)
    _layer_axis(panel, effects.layers, "share of the pairs")


@figure(
    "figure_move",
    "Move: a direction from the own task to the other's, added to the state",
    "Above, directions are differences between the two tasks in all training states; below, in those with the pair's "
    "input symbol. From other inputs: in all states but those. From left to right they are added once and more often. "
    "Dotted: random directions of that length.",
)
def figure_move(effects: Effects) -> Figure:
    strengths = effects.amounts(of.MOVE, MEANS)
    subtitle = "at the input token, share answered as the other task"
    figure, axes = drawing.grid(2, len(strengths), subtitle, panel=(5.85 / len(strengths), 1.4), bottom=1.05)
    for row, given in zip(axes, ("", GIVEN_INPUT), strict=True):
        for panel, strength in zip(row, strengths, strict=True):
            for kind, color in COLORS.items():
                if not given or not kind.startswith(RESIDUAL):
                    _curve(panel, effects, of.MOVE, kind + given, strength, color=color)
            _curve(panel, effects, of.MOVE, RANDOM + given, strength, **NULL)
            _layer_axis(panel, effects.layers, "")
    names = [f"strength {strength:g}" for strength in strengths]
    drawing.name_panels(axes, ["not given the input", "given the input"], names, below="layer")
    for panel in axes[0]:
        panel.set_xlabel("")
    words = {kind: kind_words(of.MOVE, kind).removeprefix("difference of ") for kind in COLORS}
    looks = {words[kind]: {"color": color} for kind, color in COLORS.items()}
    _legend(figure, effects, looks | {kind_words(of.MOVE, RANDOM): NULL})
    return figure


@figure(
    "figure_remove",
    "Remove: a space projected out of the state",
    "Accuracy on validation over how many directions are removed, the widest first; of a space with fewer, all are. "
    "What is left keeps the space's mean. Dotted: random spaces of so many directions, mean of the layers.",
)
def figure_remove(effects: Effects) -> Figure:
    ranks = effects.amounts(of.REMOVE, RANDOM)
    figure, axes = drawing.grid(1, len(of.SPACES), "at the input token, accuracy", panel=(1.8, 1.5))
    looks = {layer_words(layer): _ordered(place, effects.layers) for place, layer in enumerate(effects.layers)}
    looks["final norm"] = {"color": "black", "linestyle": (0, (3, 1.2)), "linewidth": 1.0}
    for panel, space in zip(axes[0], of.SPACES, strict=True):
        for layer, look in zip(effects.layers, looks.values(), strict=True):
            of_rank = {rank: effects.values(of.REMOVE, space, layer, rank, "own") for rank in ranks}
            _draw(panel, of_rank, **look)
        null = {rank: [effects.value(of.REMOVE, RANDOM, at, rank, "own") for at in effects.layers] for rank in ranks}
        _draw(panel, {rank: [float(np.mean(values))] for rank, values in null.items()}, **NULL)
        panel.set_xscale("log", base=2)
        panel.set_xticks(ranks, [f"{rank:g}" for rank in ranks], fontsize=6)
        panel.set_xticks([], minor=True)
        panel.set(ylim=(-0.03, 1.03), xlabel="directions removed")
        panel.set_title(capitalised(kind_words(of.REMOVE, space)), loc="left", fontsize=7)
    axes[0, 0].set_ylabel("accuracy")
    _legend(figure, effects, looks | {kind_words(of.REMOVE, RANDOM): NULL})
    return figure


@figure(
    "figure_comes_from",
    "Where it comes from: the instruction's last symbols swapped",
    "The states of so many of the last symbols come from the other instance's instruction, the last for the last; if "
    "the shorter instruction has fewer, all its symbols. Dotted: as many symbols of an instruction of the same task.",
)
def figure_comes_from(effects: Effects) -> Figure:
    numbers = effects.amounts(of.COMES_FROM, of.OTHER_TASK)
    figure, axes = drawing.grid(1, 2, "at the instruction's last symbols, validation", panel=(2.9, 1.8), gap=0.6)
    looks = {f"the last {number:g}": _ordered(place, numbers) for place, number in enumerate(numbers)}
    for panel, outcome in zip(axes[0], ("other", "own"), strict=True):
        for number, look in zip(numbers, looks.values(), strict=True):
            _curve(panel, effects, of.COMES_FROM, of.SAME_TASK, number, outcome, **NULL)
            _curve(panel, effects, of.COMES_FROM, of.OTHER_TASK, number, outcome, **look)
        panel.set_title(f"({'ab'[outcome == 'own']}) answer: {OUTCOMES[outcome]}", loc="left")
        _layer_axis(panel, effects.layers[:-2], "share of the pairs")
    _legend(figure, effects, looks | {kind_words(of.COMES_FROM, of.SAME_TASK): NULL})
    return figure


FIGURES = (figure_decodable, figure_swap, figure_move, figure_remove, figure_comes_from)


def _curve(
    panel: Axes, effects: Effects, test: str, kind: str, amount: float = 1, outcome: str = "other", **look: object
) -> None:
    """A share by layer, of several seeds its mean with the standard deviation shaded."""
    values = {place: effects.values(test, kind, at, amount, outcome) for place, at in enumerate(effects.layers)}
    _draw(panel, values, **look)


def _draw(panel: Axes, values: Mapping[float, Sequence[float | None]], **look: object) -> None:
    """Values of the seeds over something; places where one is missing are left out."""
    known = {place: np.array(of_seeds) for place, of_seeds in values.items() if None not in of_seeds}
    deviation = {place: of_seeds.std(ddof=1) for place, of_seeds in known.items() if len(of_seeds) > 1}
    drawing.draw_curve(panel, {place: of_seeds.mean() for place, of_seeds in known.items()}, deviation, **look)


def _ordered(place: int, among: Sequence[object]) -> dict[str, object]:
    """A colour of an ordered map."""
    return {"color": matplotlib.colormaps["viridis"](0.9 - 0.75 * place / max(len(among) - 1, 1))}


def _layer_axis(panel: Axes, layers: Sequence[str], words: str) -> None:
    panel.set_xticks(range(len(layers)), ["norm" if layer == FINAL_NORM else layer for layer in layers])
    panel.set(ylim=(-0.03, 1.03), xlabel="layer", ylabel=words)


def _legend(figure: Figure, effects: Effects, looks: Mapping[str, Mapping[str, object]]) -> None:
    if not any(panel.lines for panel in figure.axes):
        raise NotRun("no test has been measured")
    handles = [Line2D([], [], label=words, **look) for words, look in looks.items()]
    drawing.legend(figure, [*handles, *drawing.deviation_handle(effects)])
