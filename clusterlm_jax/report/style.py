"""How figures look: one grid, one palette, one legend, and words where a panel has nothing to show."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.records import FINAL_NORM
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
BEST = {"color": "#D55E00", "linestyle": (0, (4, 2)), "linewidth": 1.0}


def layer_line(run: Run, layer: str) -> dict[str, object]:
    """Line properties of a layer: blocks along one sequential map; the final norm, which is no block, apart."""
    if layer == FINAL_NORM:
        return {"color": "black", "linestyle": (0, (3, 1.2)), "linewidth": 1.0, "marker": ""}
    place = run.indices.index(layer) / max(len(run.indices) - 1, 1)
    return {"color": matplotlib.colormaps["viridis"](0.9 - 0.75 * place), "linestyle": "-"}


def grid(
    rows: int, columns: int, title: str, panel: tuple[float, float] = (1.95, 1.3), gap: float = 0.42
) -> tuple[Figure, np.ndarray]:
    """A figure of equal panels with room for a title above and one shared legend below; lengths in inches."""
    left, right, top, bottom, between_rows = 0.7, 0.15, 0.62, 0.86, 0.5
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


def legend(figure: Figure, handles: Sequence[Line2D], title: str = "") -> None:
    """The one legend of a figure, centred under its panels, in as many rows as its entries need."""
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    rows = math.ceil(letters * 0.065 / figure.get_figwidth())
    columns = math.ceil(len(handles) / rows)
    figure.legend(
        handles=handles,
        title=title,
        loc="lower center",
        ncols=columns,
        handlelength=1.8,
        columnspacing=1.2,
        fontsize=7.5,
    )


def layer_legend(figure: Figure, run: Run) -> None:
    handles = [Line2D([], [], label=layer_words(layer), **layer_line(run, layer)) for layer in run.layers]
    legend(figure, [*handles, *best_handle(run)])


def best_handle(run: Run) -> list[Line2D]:
    if run.best_epoch is None:
        return []
    return [Line2D([], [], label=f"best epoch ({run.best_epoch})", **BEST)]


def draw_curve(axes: Axes, curve: Curve, **line: object) -> None:
    """One line over the epochs; each analysed epoch is a dot while there are few enough to tell apart."""
    marker = {"marker": "o" if len(curve) <= 60 else "", "markersize": 2.2}
    axes.plot(list(curve), list(curve.values()), **(marker | line))


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
