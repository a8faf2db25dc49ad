"""Spaces that follow one another without jumps: aligned, thinned, and packed without loss."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.report.explorer.spaces import EDGE, MOST_EPOCHS, STEPS, aligned, explore, packed
from tests.report.explorer import files


@pytest.fixture
def space_N3(rng: np.random.Generator) -> np.ndarray:
    return aligned(rng.normal(size=(files.POINTS, 3)), None)


@pytest.mark.parametrize("seed", range(4))
def test_a_space_turned_mirrored_moved_and_scaled_comes_back(space_N3: np.ndarray, seed: int) -> None:
    theirs_N3 = files.turned(space_N3, seed)
    assert np.abs(theirs_N3 - space_N3).max() > 1
    np.testing.assert_allclose(aligned(theirs_N3, space_N3), space_N3, atol=1e-9)


def test_half_of_the_points_lie_within_one(space_N3: np.ndarray) -> None:
    assert np.median(np.linalg.norm(space_N3, axis=1)) == pytest.approx(1)


def test_a_point_far_away_is_drawn_in_and_moves_no_other(space_N3: np.ndarray) -> None:
    far_N3 = np.concatenate([space_N3, [[500.0, 0, 0]]])
    found_N3 = aligned(far_N3 - far_N3.mean(axis=0), None)
    assert np.linalg.norm(found_N3, axis=1).max() == pytest.approx(EDGE)
    assert np.ptp(found_N3[:-1], axis=0).min() > 0.1, "the others have not become one point"


def test_instances_of_one_state_are_one_point() -> None:
    same_N3 = np.full((5, 3), 3.0)
    np.testing.assert_array_equal(aligned(same_N3, aligned(same_N3, None)), np.zeros((5, 3)))


def test_consecutive_epochs_and_layers_lie_on_one_another(tmp_path: Path) -> None:
    """Every file is turned at random; what is left is the drift. Breaks if any epoch or layer is left as it was."""
    spaces = explore(files.write(tmp_path, "validation", ("0", "1", "2"), (0, 1, 2, 3)), {}).spaces[0]
    for along_epochs in spaces.coordinates_LEN3:
        assert np.abs(np.diff(along_epochs, axis=0)).max() < 0.3
    assert np.abs(np.diff(spaces.coordinates_LEN3, axis=0)).max() < 1e-4, "layers hold the same points"


def test_layers_and_splits_have_their_order_and_a_place_to_begin(tmp_path: Path) -> None:
    names = ("10", "final_norm", "0", "9")
    embeddings = files.write(tmp_path, "training_subset", names, (0,)) | files.write(
        tmp_path, "validation", names, (0,)
    )
    explorer = explore(embeddings, {})
    assert [spaces.split for spaces in explorer.spaces] == ["validation", "training_subset"]
    assert explorer.spaces[0].layers == ("0", "9", "10", "final_norm")
    assert (explorer.layer, explore(embeddings, {}, "9").layer, explore(embeddings, {}, "7").layer) == ("10", "9", "10")


def test_epochs_are_those_that_every_layer_has(tmp_path: Path) -> None:
    embeddings = files.write(tmp_path, "validation", ("0", "1"), (0, 5, 10))
    del embeddings["validation"]["1"][10]  # still being analysed
    assert explore(embeddings, {}).spaces[0].epochs == (0, 5)
    embeddings["validation"]["1"].clear()
    assert explore(embeddings, {}) is None and explore({}, {}) is None


def test_of_many_epochs_the_first_the_last_and_some_between_are_shown(tmp_path: Path) -> None:
    epochs = explore(files.write(tmp_path, "validation", ("0",), range(201), points=4), {}).spaces[0].epochs
    assert (len(epochs), epochs[0], epochs[-1]) == (MOST_EPOCHS, 0, 200)
    assert set(np.diff(epochs)) == {4, 5}


def test_what_is_packed_can_be_unpacked(tmp_path: Path) -> None:
    words = {"task": {np.int64(3): "</script>"}}
    explorer = explore(files.write(tmp_path, "validation", ("0", "1"), (0, 7)), words)
    content = json.loads(json.dumps(packed(explorer)))
    (split,) = content["splits"]
    steps = np.frombuffer(base64.b64decode(split["coordinates"]), "<i2").reshape(2, 2, 3, files.POINTS)
    found_LEN3 = steps.swapaxes(2, 3) * (EDGE / STEPS)
    np.testing.assert_allclose(found_LEN3, explorer.spaces[0].coordinates_LEN3, atol=EDGE / STEPS)
    assert split["columns"] == {name: column.tolist() for name, column in files.labels().items()}
    assert split["right"] == {"0": "1" + 59 * "0", "7": 8 * "1" + 52 * "0"}
    assert content["words"] == {"task": {"3": "</script>"}}


def test_files_of_an_older_run_do_not_say_what_is_right(tmp_path: Path) -> None:
    explorer = explore(files.write(tmp_path, "validation", ("0",), (0, 1), right=False), {})
    assert packed(explorer)["splits"][0]["right"] == {}


@pytest.mark.parametrize("damage", ["cut", "labels", "others"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    embeddings = files.write(tmp_path, "validation", ("0", "1"), (0, 1))
    path = embeddings["validation"]["1"][1]
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:100])
        case "labels":
            np.savez(path, coordinates_N3=np.zeros((files.POINTS, 3)))
        case "others":
            np.savez(path, coordinates_N3=np.zeros((files.POINTS, 3)), task=np.zeros(files.POINTS, np.int32))
    with pytest.raises(UserError, match=str(path)):
        explore(embeddings, {})
