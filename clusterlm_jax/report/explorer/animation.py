"""The clusters over training as a GIF, for a README or slides: points that move from one analysed epoch to the next."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from PIL import Image

from clusterlm_jax.report import drawing
from clusterlm_jax.report.explorer.spaces import EDGE, Explorer, Spaces
from clusterlm_jax.report.words import SPLIT_WORDS, layer_words

NAME = "clusters"
SIZE, DOTS = 4.4, 100  # inches, dots an inch
MOST_FRAMES = 60  # so that the file stays below 2 MB
MOST_BETWEEN = 6  # frames from one epoch to the next
HELD, MOVING, END = 500, 60, 2000  # ms: at an epoch, between two, at the last
COLOURS = 64  # of the palette: tasks and the shades at their edges


def over_training(explorer: Explorer) -> bytes | None:
    """The GIF of the first split at the layer the explorer begins with; None with fewer than two epochs.

    The view is the plane in which the last epoch is widest, and does not turn: only the points move.
    """
    spaces = explorer.spaces[0]
    if len(spaces.epochs) < 2:
        return None
    layer = spaces.layers.index(explorer.layer)
    points_EN3 = spaces.coordinates_LEN3[layer]
    _, _, view_33 = np.linalg.svd(points_EN3[-1], full_matrices=False)
    figure, frames = _figure(spaces, explorer.layer), []
    for words, points_N2, milliseconds in _course(spaces.epochs, points_EN3 @ view_33[:2].T):
        frames.append((_picture(figure, words, points_N2), milliseconds))
    pictures, durations = zip(*frames, strict=True)
    # One palette for all: a palette a frame would make the colours flicker.
    palette = pictures[-1].quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0, optimize=True)
    return file.getvalue()


def _course(epochs: tuple[int, ...], points_EN2: np.ndarray) -> Iterator[tuple[str, np.ndarray, int]]:
    """Every frame: its words, its points, its milliseconds."""
    between = min(max(MOST_FRAMES // (len(epochs) - 1) - 1, 0), MOST_BETWEEN)
    for index, epoch in enumerate(epochs[:-1]):
        yield f"epoch {epoch}", points_EN2[index], HELD if between else 2 * MOVING
        for part in np.linspace(0, 1, between + 2)[1:-1]:
            eased = part * part * (3 - 2 * part)
            yield f"epoch {epoch}", (1 - eased) * points_EN2[index] + eased * points_EN2[index + 1], MOVING
    yield f"epoch {epochs[-1]}", points_EN2[-1], END


def _figure(spaces: Spaces, layer: str) -> Figure:
    figure = Figure(figsize=(SIZE, SIZE + 0.3), dpi=DOTS)
    FigureCanvasAgg(figure)
    words = f"{SPLIT_WORDS.get(spaces.split, spaces.split)}, {layer_words(layer)}, t-SNE, by task"
    drawing.add_subtitle(figure, words)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96 * SIZE / (SIZE + 0.3)), xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE))
    axes.axis("off")
    tasks, rank_N = np.unique(spaces.labels["task"], return_inverse=True)
    colours = to_rgba_array([drawing.mark(rank)["color"] for rank in range(len(tasks))])
    axes.scatter(*np.zeros((2, len(rank_N))), c=colours[rank_N], s=14, linewidths=0, alpha=0.85)
    axes.text(0.98, 0.98, "", transform=axes.transAxes, ha="right", va="top", fontsize=12)
    return figure


def _picture(figure: Figure, words: str, points_N2: np.ndarray) -> Image.Image:
    (axes,) = figure.axes
    axes.collections[0].set_offsets(points_N2)
    axes.texts[0].set_text(words)
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
