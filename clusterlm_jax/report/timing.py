"""When each kind of cluster appears, and whether the accuracy rises after it or before (paper 3.2; ours)."""

from __future__ import annotations

import itertools
import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clusterlm_jax.report.measures import MARGIN
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.style import CATEGORIES, draw_curve, grid, legend
from clusterlm_jax.report.words import LABEL_WORDS, SPACES

NEVER = math.inf
TIMED = {
    **{label: f"clusters by {words}" for label, words in LABEL_WORDS.items() if label != "position"},
    "neighbours": "neighbours with the same task",
    "accuracy": "validation accuracy",
}
LINES = {name: {"color": color} for name, color in zip(TIMED, CATEGORIES, strict=False)} | {
    "neighbours": {"color": ".5"},
    "accuracy": {"color": "black", "linewidth": 2.0},
}


def half_rise(curve: Curve) -> float:
    """First epoch at which a curve has covered half the way from its first value to its highest.

    Returns:
      An epoch of the curve; `NEVER` where the way is shorter than `MARGIN` or there is no curve.
    """
    if not curve:
        return NEVER
    start, most = _ends(curve)
    if most - start < MARGIN:
        return NEVER
    return next(epoch for epoch, value in curve.items() if value >= (start + most) / 2)


def timed_curves(run: Run, space: str) -> dict[str, Curve]:
    """The curves whose rise is timed, validation, by name: the best block at each analysed epoch, and the accuracy."""
    curves = {label: run.over_blocks(max, "f1", label, "validation", space) for label in LABEL_WORDS}
    curves["neighbours"] = run.over_blocks(max, "knn_percentage", "task", "validation")
    curves["accuracy"] = run.metrics.get("validation_accuracy", {})
    return {name: curves[name] for name in TIMED if curves[name]}


def scored_spaces(run: Run) -> list[str]:
    """The spaces whose task clusters are known at two epochs at least, in the order of `SPACES`."""
    return [space for space in SPACES if len(run.over_blocks(max, "f1", "task", "validation", space)) > 1]


def spacing(run: Run) -> int:
    """The most epochs between two analyses: clusters are timed no finer than this."""
    return max((later - earlier for earlier, later in itertools.pairwise(run.epochs)), default=0)


def figure_timing(run: Run) -> Figure:
    """Every timed curve between its first and its highest value, so that the earlier one is further left."""
    spaces = scored_spaces(run)
    if not spaces:
        raise NotRun("fewer than two epochs have been analysed")
    seeds = f", mean of {len(run.seeds)} seeds" if run.members else ""
    figure, axes = grid(1, len(spaces), f"What rises first, validation{seeds}", panel=(2.6, 2.0))
    for panel, space in zip(axes[0], spaces, strict=True):
        _draw_rises(panel, timed_curves(run, space))
        panel.set_title(SPACES[space], loc="left")
        panel.set_xlabel("epoch")
    axes[0, 0].set_ylabel("way from first to highest")
    mark = {"linestyle": "", "marker": "o", "markersize": 6, "markerfacecolor": "white"}
    handles = [Line2D([], [], label=TIMED[name], **line) for name, line in LINES.items()]
    legend(figure, [*handles, Line2D([], [], color=".3", label="half-rise", **mark)])
    return figure


def _draw_rises(panel: Axes, curves: dict[str, Curve]) -> None:
    """Curves that rise; the others are named, and epochs long after every half-rise are cut off."""
    halves = {name: half_rise(curve) for name, curve in curves.items()}
    for name, epoch in halves.items():
        if epoch == NEVER:
            continue
        start, most = _ends(curves[name])
        way = {at: (value - start) / (most - start) for at, value in curves[name].items()}
        draw_curve(panel, way, markevery=[], zorder=2.5 if name == "accuracy" else 2, **LINES[name])
        panel.plot(epoch, way[epoch], "o", markersize=6, markerfacecolor="white", zorder=3, color=LINES[name]["color"])
    risen = [epoch for epoch in halves.values() if epoch != NEVER]
    panel.axhline(0.5, color=".6", linewidth=0.8, zorder=1)
    last = max(max(curve) for curve in curves.values())
    panel.set(ylim=(-0.15, 1.05), xlim=(0, min(max(2.5 * max(risen, default=last), 1), last)))
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    flat = [TIMED[name].removeprefix("clusters ") for name, epoch in halves.items() if epoch == NEVER]
    if flat:
        words = textwrap.fill(f"no rise: {', '.join(flat)}", 52)
        panel.text(0.02, 0.01, words, transform=panel.transAxes, fontsize=6.5, color=".35")


def _ends(curve: Curve) -> tuple[float, float]:
    return next(iter(curve.values())), max(curve.values())
