"""Hidden states on disk: they are read layer by layer, and half-written ones are never read."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.records import HiddenStates, UserError

Make = Callable[..., HiddenStates]
PLACE = "main/seed=0/epoch=0000/validation"


@pytest.mark.parametrize("run", ["main", "null/untrained", "mlp_switch/examples=2"])
def test_states_are_read_back_layer_by_layer(tmp_path: Path, states_of: Make, run: str) -> None:
    store, states = HiddenStore(tmp_path), states_of("validation", run, 12)
    store.save(states)
    for layer, hidden_ND in zip(states.layers, states.hidden_LND, strict=True):
        read_ND = store.layer(run, 0, 12, "validation", layer)
        assert read_ND.dtype == np.float32
        np.testing.assert_array_equal(read_ND, hidden_ND)
    labels = store.labels(run, 0, 12, "validation")
    assert labels.keys() == states.labels.keys()
    for name, column in labels.items():
        np.testing.assert_array_equal(column, states.labels[name])
    assert store.has(run, 0, 12, "validation")
    assert not store.has(run, 0, 12, "training")


def test_saving_again_replaces(tmp_path: Path, states_of: Make) -> None:
    store, states = HiddenStore(tmp_path), states_of("validation")
    store.save(states)
    HiddenStore(tmp_path).save(dataclasses.replace(states, hidden_LND=states.hidden_LND + 1))
    np.testing.assert_array_equal(store.layer("main", 0, 0, "validation", "1"), states.hidden_LND[1] + 1)


def test_only_the_owner_deletes_half_written_states(tmp_path: Path, states_of: Make) -> None:
    """Breaks when a reader deletes them, too: a worker would delete what the main process is just writing."""
    HiddenStore(tmp_path).save(states_of("validation", "null/untrained"))
    leftover = tmp_path / "null/untrained/seed=0/epoch=0000/.training.tmp"
    leftover.mkdir()
    (leftover / "0.npy").write_bytes(b"half")
    assert not HiddenStore(tmp_path).has("null/untrained", 0, 0, "training")
    assert leftover.exists()
    assert HiddenStore(tmp_path, owner=True).has("null/untrained", 0, 0, "validation")
    assert not leftover.exists()
    HiddenStore(tmp_path / "not there yet", owner=True)


def test_half_written_states_do_not_mix_with_what_is_saved_next(tmp_path: Path, states_of: Make) -> None:
    leftover = tmp_path / "main/seed=0/epoch=0000/.validation.tmp"
    leftover.mkdir(parents=True)
    (leftover / "1.npy").write_bytes(b"half")
    HiddenStore(tmp_path, owner=True).save(states_of("validation"))
    assert sorted(path.name for path in (tmp_path / PLACE).iterdir()) == [
        "0.npy",
        "1.npy",
        "final_norm.npy",
        "labels.npz",
    ]


@pytest.mark.parametrize("kept", [0, 5, 100, 1000])
@pytest.mark.parametrize("name", ["1.npy", "labels.npz"])
def test_a_truncated_file_is_named(store: HiddenStore, name: str, kept: int) -> None:
    path = store.directory / PLACE / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"{PLACE}/{name} cannot be read"):
        store.labels("main", 0, 0, "validation") if name == "labels.npz" else store.layer(
            "main", 0, 0, "validation", "1"
        )


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.999])
def test_a_flipped_bit_is_noticed(store: HiddenStore, share: float) -> None:
    """In numpy's header, in the states and in the checksum itself. Breaks if numpy alone is trusted."""
    path = store.directory / PLACE / "1.npy"
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{PLACE}/1\.npy cannot be read"):
        store.layer("main", 0, 0, "validation", "1")


def test_states_of_an_earlier_version_have_no_checksum(store: HiddenStore) -> None:
    path = store.directory / PLACE / "1.npy"
    kept = store.layer("main", 0, 0, "validation", "1")
    np.save(path, kept)
    np.testing.assert_array_equal(store.layer("main", 0, 0, "validation", "1"), kept)


def test_a_missing_file_is_named(store: HiddenStore) -> None:
    with pytest.raises(UserError, match=rf"{PLACE}/9\.npy are missing"):
        store.layer("main", 0, 0, "validation", "9")
    with pytest.raises(UserError, match=r"test/labels\.npz are missing"):
        store.labels("main", 0, 0, "test")


def test_delete_removes_all_splits_of_an_epoch(tmp_path: Path, fill: Callable[..., HiddenStore]) -> None:
    store = fill(tmp_path, (0, 1))
    store.delete("main", 0, 0)
    store.delete("main", 0, 5)  # nothing there: no error
    assert [store.has("main", 0, epoch, "training") for epoch in (0, 1)] == [False, True]


def test_drop_after(tmp_path: Path, fill: Callable[..., HiddenStore]) -> None:
    """Epochs are compared as numbers, not as names. Other runs stay."""
    store = fill(tmp_path, (2, 10, 10000))
    fill(tmp_path, (10,), "other")
    store.drop_after("main", 0, 2)
    assert [store.has("main", 0, epoch, "validation") for epoch in (2, 10, 10000)] == [True, False, False]
    assert store.has("other", 0, 10, "validation")
    store.drop_after("nobody", 0, -1)


def test_a_full_disk_is_reported_and_leaves_no_files(tmp_path: Path, states_of: Make) -> None:
    """With arrays larger than a file's buffer: numpy's error for them has no errno and no message."""
    states = states_of("validation")
    states = dataclasses.replace(states, hidden_LND=np.tile(states.hidden_LND, (1, 1, 50)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match=rf"could not be written to .*{PLACE}: \d+ requested and \d+ written\.$"):
            HiddenStore(tmp_path).save(states)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not HiddenStore(tmp_path).has("main", 0, 0, "validation")


def halves(states: HiddenStates) -> list[HiddenStates]:
    middle = states.hidden_LND.shape[1] // 2
    return [
        dataclasses.replace(
            states,
            hidden_LND=states.hidden_LND[:, part],
            labels={name: column[part] for name, column in states.labels.items()},
        )
        for part in (slice(None, middle), slice(middle, None))
    ]


def test_shards_become_the_states_when_they_are_complete(tmp_path: Path, states_of: Make) -> None:
    """Before that, a reader sees no states, and a process that resumes sees how many shards there are."""
    states = states_of("validation")
    for number, part in enumerate(halves(states)):
        store = HiddenStore(tmp_path, owner=True)
        assert store.shards("main", 0, 0, "validation") == number
        store.save_shard(part, number)
        assert not store.has("main", 0, 0, "validation")
    store.complete("main", 0, 0, "validation")
    assert store.has("main", 0, 0, "validation")
    assert store.shards("main", 0, 0, "validation") == 0
    for layer, hidden_ND in zip(states.layers, states.hidden_LND, strict=True):
        np.testing.assert_array_equal(store.layer("main", 0, 0, "validation", layer), hidden_ND)
    for name, column in store.labels("main", 0, 0, "validation").items():
        np.testing.assert_array_equal(column, states.labels[name])
    store.delete("main", 0, 0)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_half_written_shard_does_not_count(tmp_path: Path, states_of: Make) -> None:
    store = HiddenStore(tmp_path)
    store.save_shard(states_of("validation"), 0)
    leftover = tmp_path / PLACE.replace("validation", ".validation.growing") / ".shard=0001.tmp"
    leftover.mkdir()
    assert store.shards("main", 0, 0, "validation") == 1
    HiddenStore(tmp_path, owner=True)
    assert not leftover.exists()
