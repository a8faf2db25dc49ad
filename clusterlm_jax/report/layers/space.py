"""The points of a layer in its t-SNE space."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from clusterlm_jax.records import UserError
from clusterlm_jax.report.layers.scores import LayerScores
from clusterlm_jax.report.spec import ReportSpec


def layer_shown(subject: LayerScores, spec: ReportSpec) -> str:
    """The layer asked for, else the chosen one, else the best of those that have coordinates; empty if none has."""
    there = [layer for layer in subject.layers if layer in subject.embeddings]
    if spec.scatter_layer:
        return spec.scatter_layer if spec.scatter_layer in there else ""
    if not subject.clusterings or not there:
        return ""
    curve = subject.curve(reducer="tsne")
    return subject.chosen.layer if subject.chosen.layer in there else max(there, key=lambda layer: curve.get(layer, 0))


def read_space(path: Path, labels: Iterable[str]) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Coordinates [instance, 3] and labels int32 [instance] by column.

    Raises:
      UserError: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file) as embedding:
            return embedding["coordinates_N3"], {label: embedding[label] for label in labels}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no file of t-SNE coordinates ({error}): delete it to go without.") from error
