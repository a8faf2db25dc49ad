"""Files of t-SNE coordinates -> spaces that follow one another without jumps, as the page's explorer takes them."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clusterlm_jax.records import UserError
from clusterlm_jax.report.drawing import TASKS
from clusterlm_jax.report.reading import read_space
from clusterlm_jax.report.run import Embeddings
from clusterlm_jax.report.words import LABEL_WORDS, SPLIT_WORDS, layer_words

MOST_EPOCHS = 50  # of a split: an epoch of the paper's size takes 40 kB of the page, and 200 are too many to look at
EDGE = 2.0  # of a space, in median distances from its middle: t-SNE throws a few points several times as far
STEPS = 32767  # from the middle to the edge, in whole numbers of two bytes
COLOURS = {name: LABEL_WORDS[name] for name in ("task", "distribution", "input", "output", "mapping")}
Words = Mapping[str, Mapping[int, str]]  # column -> value -> what it stands for


@dataclasses.dataclass(frozen=True)
class Spaces:
    """The t-SNE spaces of one split, all of the same instances.

    Attributes:
      split: its name.
      layers: the embedding first, the final norm last.
      epochs: those that every layer has.
      coordinates_LEN3: float32 [layer, epoch, instance, 3], aligned by `aligned`.
      labels: int32 [instance] by column.
      right: by epoch, bool [instance]: whether the model answers right; without epochs that do not say.
    """

    split: str
    layers: tuple[str, ...]
    epochs: tuple[int, ...]
    coordinates_LEN3: np.ndarray
    labels: Mapping[str, np.ndarray]
    right: Mapping[int, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Explorer:
    """What a page's explorer shows.

    Attributes:
      spaces: of each split, the one to begin with first.
      words: what values of columns stand for; a value without words is shown as its number.
      layer: the layer to begin with.
      colours: the columns to colour by, and what they are called.
    """

    spaces: tuple[Spaces, ...]
    words: Words
    layer: str
    colours: Mapping[str, str]


def explore(
    embeddings: Embeddings, words: Words, layer: str = "", colours: Mapping[str, str] = COLOURS
) -> Explorer | None:
    """The explorer of the files of a run; None where there is nothing to look at.

    Args:
      layer: the one to begin with; the last block where it is empty or not there.

    Raises:
      UserError: a file is damaged.
    """
    read = (_read(split, embeddings[split]) for split in sorted(embeddings, reverse=True))  # validation first
    spaces = tuple(space for space in read if space is not None)
    if not spaces:
        return None
    layers = spaces[0].layers
    last_block = max(layers, key=lambda name: (name.isdecimal(), layers.index(name)))
    return Explorer(spaces, words, layer if layer in layers else last_block, colours)


def aligned(space_N3: np.ndarray, before_N3: np.ndarray | None) -> np.ndarray:
    """A space moved, turned, mirrored and scaled to lie as closely as it can on the one before (Procrustes).

    t-SNE is free in all four. Half of the points come to lie within 1 of the middle. Those beyond `EDGE` are drawn in
    to it, or they would shrink and turn all others.
    """
    centred_N3 = space_N3 - space_N3.mean(axis=0)
    distance_N1 = np.linalg.norm(centred_N3, axis=1, keepdims=True)
    size = np.median(distance_N1) or 1.0  # all states may be one, as the embedding's of one token
    unit_N3 = centred_N3 / np.maximum(size, distance_N1 / EDGE)
    if before_N3 is None:
        return unit_N3
    left_33, _, right_33 = np.linalg.svd(unit_N3.T @ before_N3)
    return unit_N3 @ left_33 @ right_33


def packed(explorer: Explorer) -> dict[str, Any]:
    """What `explorer.js` reads: numbers and words, each once."""
    return {
        "splits": [_of_split(spaces, explorer) for spaces in explorer.spaces],
        "edge": STEPS,
        "layer": explorer.layer,
        "colours": list(explorer.colours.items()),
        "words": {column: {int(value): word for value, word in of.items()} for column, of in explorer.words.items()},
        "palette": list(TASKS),
    }


def _read(split: str, files: Mapping[str, Mapping[int, Path]]) -> Spaces | None:
    layers = sorted(files, key=lambda name: (not name.isdecimal(), name.zfill(9)))
    shared = sorted(set.intersection(*(set(paths) for paths in files.values())))
    if not shared:  # the first epoch is still being analysed
        return None
    epochs = _thinned(shared)
    stacks, right, labels, first_N3 = [], {}, {}, None
    for layer in layers:
        before_N3, stack = first_N3, []  # a layer's first epoch follows that of the layer below
        for epoch in epochs:
            space = read_space(files[layer][epoch], "task")
            points_N3 = space.pop("coordinates_N3").astype(np.float64)
            labels = labels or {name: column for name, column in space.items() if name != "right"}
            if not np.array_equal(space["task"], labels["task"]):
                raise UserError(f"{files[layer][epoch]} has other instances than {files[layers[0]][epochs[0]]}.")
            if "right" in space:
                right[epoch] = space["right"] > 0
            before_N3 = aligned(points_N3, before_N3)
            stack.append(before_N3)
        stacks.append(np.stack(stack))
        first_N3 = stack[0]
    return Spaces(split, tuple(layers), epochs, np.stack(stacks).astype(np.float32), labels, right)


def _thinned(epochs: Sequence[int]) -> tuple[int, ...]:
    """At most `MOST_EPOCHS`, evenly spread, the first and the last among them."""
    places = np.unique(np.linspace(0, len(epochs) - 1, min(MOST_EPOCHS, len(epochs))).round().astype(int))
    return tuple(epochs[place] for place in places)


def _of_split(spaces: Spaces, explorer: Explorer) -> dict[str, Any]:
    # [layer, epoch, axis, instance], so that an axis is one run of numbers; a step is far less than a pixel.
    axes_LE3N = spaces.coordinates_LEN3.swapaxes(2, 3)
    steps_LE3N = np.round(axes_LE3N * (STEPS / EDGE))
    columns = [name for name in (*explorer.colours, "instruction") if name in spaces.labels]
    return {
        "name": SPLIT_WORDS.get(spaces.split, spaces.split),
        "layers": [(layer, layer_words(layer)) for layer in spaces.layers],
        "epochs": list(spaces.epochs),
        "coordinates": base64.b64encode(steps_LE3N.astype("<i2").tobytes()).decode(),
        "columns": {name: spaces.labels[name].tolist() for name in columns},
        "right": {epoch: "".join("01"[int(answer)] for answer in right_N) for epoch, right_N in spaces.right.items()},
    }
