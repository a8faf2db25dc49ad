"""How figures look: one grid, one palette, one legend, and words where a panel has nothing to show."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.nulls import NULLS
from clusterlm_jax.report.run import Curve, Run
from clusterlm_jax.report.words import layer_words

DOTS_PER_INCH = 150
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": ".4",
    "grid.color": ".9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "svg.hashsalt": "clusterlm",  # the same run gives the same bytes
}
# Okabe and Ito's colours, told apart by people with any colour vision; black is left to the final norm.
CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
NULL_LINES = {
    "symbols": {"color": ".35", "linestyle": (0, (5, 2))},
    "untrained": {"color": ".35", "linestyle": (0, (5, 1.5, 1, 1.5))},
    "regrouped": {"color": ".55", "linestyle": "-"},
    "shuffled": {"color": ".35", "linestyle": (0, (1, 1.5))},
}
ROOM_FOR_NULLS = 1.05  # inches under the panels
BEST = {"color": "#D55E00", "linestyle": (0, (4, 2)), "linewidth": 1.0}


def layer_line(run: Run, layer: str) -> dict[str, object]:
    """Line properties of a layer: blocks along one sequential map; the final norm, which is no block, apart."""
    if layer == FINAL_NORM:
        return {"color": "black", "linestyle": (0, (3, 1.2)), "linewidth": 1.0, "marker": ""}
    place = run.indices.index(layer) / max(len(run.indices) - 1, 1)
    return {"color": matplotlib.colormaps["viridis"](0.9 - 0.75 * place), "linestyle": "-"}


def grid(
    rows: int,
    columns: int,
    title: str,
    panel: tuple[float, float] = (1.95, 1.3),
    gap: float = 0.42,
    bottom: float = 0.86,
) -> tuple[Figure, np.ndarray]:
    """A figure of equal panels with room for a title above and one shared legend below; lengths in inches."""
    left, right, top, between_rows = 0.7, 0.15, 0.62, 0.5
    width = left + columns * panel[0] + (columns - 1) * gap + right
    height = top + rows * panel[1] + (rows - 1) * between_rows + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    figure.subplots_adjust(wspace=gap / panel[0], hspace=between_rows / panel[1])
    add_title(figure, title)
    return figure, axes


def add_title(figure: Figure, title: str) -> None:
    width, height = figure.get_size_inches()
    figure.suptitle(title, x=0.1 / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=9.5, fontweight="bold")


def seeds_handle(run: Run) -> list[Line2D]:
    """What is shaded, where the figure shows several seeds."""
    if not run.members:
        return []
    return [Line2D([], [], label=f"mean ± std of {len(run.seeds)} seeds", color=".5", alpha=0.3, linewidth=6)]


def legend(figure: Figure, handles: Sequence[Line2D], above: float = 0.0) -> float:
    """A legend centred under the panels, so many inches above the lower edge, in as many rows as its entries need.

    Returns:
      Its height in inches.
    """
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    rows = math.ceil(letters * 0.065 / figure.get_figwidth())
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, above / figure.get_figheight()),
        ncols=math.ceil(len(handles) / rows),
        handlelength=1.8,
        columnspacing=1.2,
        fontsize=7.5,
    )
    return 0.16 * rows


def layer_legend(figure: Figure, run: Run) -> None:
    """The layers, the best epoch and the seeds; under them those null baselines that were drawn."""
    drawn = {line.get_label() for axes in figure.axes for line in axes.lines}
    nulls = [
        Line2D([], [], label=words, linewidth=0.9, **NULL_LINES[name])
        for name, words in NULLS.items()
        if words in drawn
    ]
    height = legend(figure, nulls) if nulls else 0.0
    layers = [Line2D([], [], label=layer_words(layer), **layer_line(run, layer)) for layer in run.layers]
    legend(figure, [*layers, *best_handle(run), *seeds_handle(run)], above=height)


def best_handle(run: Run) -> list[Line2D]:
    if run.best_epoch is None:
        return []
    return [Line2D([], [], label=f"best epoch ({run.best_epoch})", **BEST)]


def draw_curve(axes: Axes, curve: Curve, deviation: Curve | None = None, **line: object) -> None:
    """One line over the epochs, with one standard deviation over the seeds shaded.

    Each analysed epoch is a dot while there are few enough to tell apart.
    """
    marker = {"marker": "o" if len(curve) <= 60 else "", "markersize": 2.2}
    axes.plot(list(curve), list(curve.values()), **(marker | line))
    if deviation:
        value_E, deviation_E = (np.array(list(values.values())) for values in (curve, deviation))
        axes.fill_between(
            list(curve), value_E - deviation_E, value_E + deviation_E, color=line["color"], alpha=0.15, linewidth=0
        )


def draw_nulls(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """The null baselines of a panel, thin and behind its curves."""
    for name, curve in curves.items():
        line = {"label": NULLS[name], "linewidth": 0.9, "zorder": 1.5, **NULL_LINES[name]}
        if len(curve) == 1:
            axes.axhline(*curve.values(), **line)
        else:
            axes.plot(list(curve), list(curve.values()), **line)


def mark_best(axes: Axes, run: Run) -> None:
    """A dashed line at the early-stopping epoch."""
    if run.best_epoch is not None:
        axes.axvline(run.best_epoch, zorder=1, **BEST)


def say_not_run(axes: Axes, reason: str) -> None:
    """Words in the place of an empty panel."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, f"not run\n({reason})", transform=axes.transAxes, ha="center", va="center", color=".35")


def render(figure: Figure, form: str) -> bytes:
    """The file of a figure; without dates, so that the same run gives the same bytes."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(form, {})
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=DOTS_PER_INCH, metadata=dates)
    return buffer.getvalue()
