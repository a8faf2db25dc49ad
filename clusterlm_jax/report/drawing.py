"""How figures look: one grid, one palette, one legend, and words where a panel has nothing to show."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.run import Curve, Run
from clusterlm_jax.report.words import LABEL_WORDS, NULLS, SCORE_WORDS, layer_words

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
    "text.parse_math": False,  # names of directories may have a $ in them; we write no formulas
    "pdf.fonttype": 42,  # text stays text in the PDF
    "axes.titley": 1.0,  # where it is anyway: left to find its place, each title lays out its axis once more
    "svg.hashsalt": "clusterlm",  # the same run gives the same bytes
}
# Okabe and Ito's colours, told apart by people with any colour vision; black is left to the final norm.
CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
TASKS = (*CATEGORIES, "black", "#999999", "#882255")  # a colour for each of the ten validation tasks
MARKERS = "o^sDvPX*<>phd8"
NULL_LINES = {
    "symbols": {"color": ".35", "linestyle": (0, (5, 2))},
    "untrained": {"color": ".35", "linestyle": (0, (5, 1.5, 1, 1.5))},
    "regrouped": {"color": ".55", "linestyle": "-"},
    "shuffled": {"color": ".35", "linestyle": (0, (1, 1.5))},
}
ROOM_FOR_NULLS = 1.05  # inches under the panels
BEST = {"color": "#D55E00", "linestyle": (0, (4, 2)), "linewidth": 1.0}
# A column of points is the seeds' values, the bar beside it their mean.
SEED_HANDLES = ({"marker": "o", "linestyle": "", "label": "a seed"}, {"label": "mean"})


def grid(
    rows: int,
    columns: int,
    subtitle: str = "",
    panel: tuple[float, float] = (1.95, 1.3),
    gap: float = 0.42,
    bottom: float = 0.86,
) -> tuple[Figure, np.ndarray]:
    """A figure of equal panels with room for a subtitle above and one shared legend below; lengths in inches."""
    left, right, top, between_rows = 0.7, 0.15, 0.6 if subtitle else 0.3, 0.5
    width = left + columns * panel[0] + (columns - 1) * gap + right
    height = top + rows * panel[1] + (rows - 1) * between_rows + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    figure.subplots_adjust(wspace=gap / panel[0], hspace=between_rows / panel[1])
    add_subtitle(figure, subtitle)
    return figure, axes


def add_subtitle(figure: Figure, words: str) -> None:
    """What a picture that stands alone must say of its data: the split, the reducer, the layer, the seeds.

    Its title is the page's heading, or the caption of the paper it is taken to; the file names it in its metadata.
    """
    width, height = figure.get_size_inches()
    figure.suptitle(words, x=0.1 / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=8, color=".35")


def name_panels(axes: np.ndarray, rows: Iterable[str], columns: Iterable[str], below: str = "epoch") -> None:
    """Names of the columns above the first row, of the rows at the left; the horizontal axis under the last."""
    for panel, name in zip(axes[0], columns, strict=True):
        panel.set_title(name, loc="left")
    for panel, name in zip(axes[:, 0], rows, strict=True):
        panel.set_ylabel(name)
    for panel in axes[-1]:
        panel.set_xlabel(below)


def layer_line(run: Run, layer: str) -> dict[str, object]:
    """Line properties of a layer: blocks along one sequential map; the final norm, which is no block, apart."""
    if layer == FINAL_NORM:
        return {"color": "black", "linestyle": (0, (3, 1.2)), "linewidth": 1.0, "marker": ""}
    place = run.indices.index(layer) / max(len(run.indices) - 1, 1)
    return {"color": matplotlib.colormaps["viridis"](0.9 - 0.75 * place), "linestyle": "-"}


def layer_curves(panel: Axes, run: Run, *, score: str, **of: str | None) -> None:
    """One panel: a score of every layer over the epochs, between 0 and 1, and what the null baselines score."""
    curves = {layer: run.curve(layer=layer, score=score, **of) for layer in run.layers}
    if not any(curves.values()):
        words = SCORE_WORDS.get(score, score.replace("_", " "))
        say_not_run(panel, f"no {words} by {LABEL_WORDS[of.get('label', 'task')]}")
        return
    if not score.startswith(("variance_", "hard_")):
        _draw_nulls(panel, run.null_curves(score=score, **of))
    for layer, curve in curves.items():
        key = run.key(**({"split": "validation", "label": "task", "reducer": None} | of), layer=layer, score=score)
        draw_curve(panel, curve, run.deviations.get(key), **layer_line(run, layer))
    mark_best(panel, run)
    low = min(min(curve.values(), default=0) for curve in curves.values())
    panel.set_ylim(min(low - 0.03, -0.03), 1.03)
    epoch_axis(panel)


def metric_curves(panel: Axes, run: Run, metric: str, **line: object) -> None:
    """One metric of a training over the epochs, where there is one."""
    if metric in run.metrics:
        draw_curve(panel, run.metrics[metric], run.deviations.get(metric), **line)


def draw_curve(axes: Axes, curve: Curve, deviation: Curve | None = None, **line: object) -> None:
    """One line over the epochs, with one standard deviation over the seeds shaded.

    Each analysed epoch is a dot while there are few enough to tell apart.
    """
    marker = {"marker": "o" if len(curve) <= 60 else "", "markersize": 2.2}
    axes.plot(list(curve), list(curve.values()), **(marker | line))
    if deviation:
        value_E, deviation_E = (np.array(list(values.values())) for values in (curve, deviation))
        low_E, high_E = value_E - deviation_E, value_E + deviation_E
        axes.fill_between(list(curve), low_E, high_E, color=line["color"], alpha=0.15, linewidth=0)


def _draw_nulls(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """The null baselines of a panel, thin and behind its curves."""
    for name, curve in curves.items():
        line = {"label": NULLS[name], "linewidth": 0.9, "zorder": 1.5, **NULL_LINES[name]}
        if len(curve) == 1:
            axes.axhline(*curve.values(), **line)
        else:
            axes.plot(list(curve), list(curve.values()), **line)


def draw_seeds(axes: Axes, place: float, values: Sequence[float], width: float = 0.18, **line: object) -> None:
    """The seeds' values as points above a place of the axis, and a bar at their mean right of them."""
    axes.plot([place] * len(values), values, "o", **({"markersize": 4, "alpha": 0.7} | line))
    axes.hlines(np.mean(values), place - width, place + width, color=line["color"])


def mark_best(axes: Axes, run: Run, **line: object) -> None:
    """A dashed line at the early-stopping epoch."""
    if run.best_epoch is not None:
        axes.axvline(run.best_epoch, zorder=1, **(BEST | line))


def epoch_axis(panel: Axes) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def say_not_run(axes: Axes, reason: str) -> None:
    """Words in the place of an empty panel."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, f"not run\n({reason})", transform=axes.transAxes, ha="center", va="center", color=".35")


def seed_handles() -> list[Line2D]:
    """What `draw_seeds` draws."""
    return [Line2D([], [], color=".4", **line) for line in SEED_HANDLES]


def deviation_handle(run: Run) -> list[Line2D]:
    """What is shaded, where the figure shows several seeds."""
    if not run.members:
        return []
    return [Line2D([], [], label=f"mean ± std of {len(run.seeds)} seeds", color=".5", alpha=0.3, linewidth=6)]


def best_handle(run: Run) -> list[Line2D]:
    if run.best_epoch is None:
        return []
    return [Line2D([], [], label=f"best epoch ({run.best_epoch})", **BEST)]


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


def null_legend(figure: Figure, names: Mapping[str, str] = NULLS, lines: Mapping[str, dict] = NULL_LINES) -> float:
    """A legend of those null baselines that were drawn; its height in inches."""
    drawn = {line.get_label() for axes in figure.axes for line in axes.lines}
    handles = [
        Line2D([], [], label=words, linewidth=0.9, **lines[name]) for name, words in names.items() if words in drawn
    ]
    return legend(figure, handles) if handles else 0.0


def layer_legend(figure: Figure, run: Run) -> None:
    """The layers, the best epoch and the seeds; under them the null baselines."""
    height = null_legend(figure)
    layers = [Line2D([], [], label=layer_words(layer), **layer_line(run, layer)) for layer in run.layers]
    legend(figure, [*layers, *best_handle(run), *deviation_handle(run)], above=height)


def scatter_groups(
    axes: Axes3D, coordinates_N3: np.ndarray, label_N: np.ndarray, mark: Callable[[int], Mapping], zoom: float, **look
) -> None:
    """The points of a t-SNE space, coloured by label. The axes have names but no numbers: those mean nothing in it."""
    for value in np.unique(label_N).tolist():
        axes.scatter(*coordinates_N3[label_N == value].T, linewidths=0, **look, **mark(value))
    axes.set_box_aspect(None, zoom=zoom)  # in a square, below 1: room for the name of the third axis
    axes.tick_params(labelbottom=False, labelleft=False, labelright=False, length=0)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), ("t-SNE 1", "t-SNE 2", "t-SNE 3"), strict=True):
        axis.set_label_text(name, fontsize=6.5)
        axis.labelpad = -13
        axis.set_pane_color((0.98, 0.98, 0.98))


def mark(number: int) -> dict[str, object]:
    """A colour and a marker that no other number has."""
    again, colour = divmod(number, len(TASKS))
    stars = (again, 1, 0)  # of as many points; once the markers are used up
    return {"color": TASKS[colour], "marker": MARKERS[again] if again < len(MARKERS) else stars}


def render(figure: Figure, form: str, title: str) -> bytes:
    """The file of a figure; without dates, so that the same run gives the same bytes."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(form, {})
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=DOTS_PER_INCH, metadata=dates | {"Title": title})
    return buffer.getvalue()
