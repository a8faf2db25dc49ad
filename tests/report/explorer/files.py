"""Files of t-SNE coordinates by formula, as the analysis leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from clusterlm_jax.report.run import Embeddings

POINTS = 60


def labels(points: int = POINTS) -> dict[str, np.ndarray]:
    number_N = np.arange(points, dtype=np.int32)
    return {
        "task": number_N % 10,
        "distribution": number_N % 20,
        "mapping": number_N % 30,
        "instruction": number_N,
        "input": number_N % 5,
        "output": number_N % 6,
    }


def turned(points_N3: np.ndarray, seed: int) -> np.ndarray:
    """The same space as t-SNE might also give it: turned, mirrored, moved, of another size."""
    turn_33 = Rotation.random(random_state=seed).as_matrix() * (1, 1, -1)
    return 7.0 * (seed + 1) * points_N3 @ turn_33 + 40.0 * seed


def write(
    directory: Path, split: str, layers: Sequence[str], epochs: Sequence[int], right: bool = True, points: int = POINTS
) -> Embeddings:
    """Spaces that change a little from epoch to epoch, each turned as it likes; instance n is right from epoch n on."""
    start_N3, drift_N3 = np.random.default_rng(0).normal(size=(2, points, 3))
    files = {}
    for place, layer in enumerate(layers):
        files[layer] = {}
        for epoch in epochs:
            path = directory / split / f"epoch={epoch}" / f"layer={layer}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            space_N3 = turned(start_N3 + 0.02 * epoch * drift_N3, seed=epoch + 100 * place)
            columns = labels(points) | ({"right": (np.arange(points) <= epoch).astype(np.int32)} if right else {})
            np.savez(path, coordinates_N3=space_N3.astype(np.float32), **columns)
            files[layer][epoch] = path
    return {split: files}
