"""The animation: every epoch is in it, points move between them, and it is small."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clusterlm_jax.report.explorer import animation
from clusterlm_jax.report.explorer.spaces import MOST_EPOCHS, explore
from tests.report.explorer import files


def frames(gif: bytes) -> tuple[list[np.ndarray], list[int]]:
    """The pictures, and how many milliseconds each is shown."""
    with Image.open(io.BytesIO(gif)) as image:
        assert image.info["loop"] == 0, "for ever"
        pictures, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
            durations.append(image.info["duration"])
    return pictures, durations


def test_points_move_from_epoch_to_epoch(tmp_path: Path) -> None:
    explorer = explore(files.write(tmp_path, "validation", ("0", "1"), (0, 10, 20)), {})
    gif = animation.over_training(explorer)
    pictures, durations = frames(gif)
    assert durations.count(animation.HELD) == 2 and durations[-1] == animation.END
    assert len(pictures) == 3 + 2 * animation.MOST_BETWEEN
    changes = [np.mean(before != after) for before, after in itertools.pairwise(pictures)]
    assert 0 < max(changes) < 0.2, "a few points on white"
    assert len(gif) < 2e6 and animation.over_training(explorer) == gif


def test_more_epochs_make_no_more_frames() -> None:
    for count in range(2, MOST_EPOCHS + 1):
        words, points, durations = zip(*animation._course(tuple(range(count)), np.zeros((count, 1, 2))), strict=True)
        assert len(points) <= animation.MOST_FRAMES + 1 and sum(durations) < 20_000
        assert list(dict.fromkeys(words)) == [f"epoch {epoch}" for epoch in range(count)]


@pytest.mark.parametrize(("epochs", "there"), [((0,), False), ((0, 1), True)])
def test_one_epoch_does_not_move(tmp_path: Path, epochs: tuple[int, ...], there: bool) -> None:
    gif = animation.over_training(explore(files.write(tmp_path, "validation", ("0",), epochs), {}))
    assert (gif is not None) is there
