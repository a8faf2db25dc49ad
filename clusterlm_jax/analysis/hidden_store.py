"""Hidden states on disk: one directory for each (run, seed, epoch, split), one file for each layer.

States too large to hold in memory are written in shards: directories of the same kind with some of the instances each.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from clusterlm_jax.records import HiddenStates, UserError

T = TypeVar("T")


class HiddenStore:
    """Keeps hidden states until the analysis has scored them. Implements `records.HiddenReader`.

    Args:
      directory: where the states are.
      owner: whether this process writes states. The owner deletes what a killed process left half-written; readers must
        not, as the owner may be writing.
    """

    def __init__(self, directory: Path, owner: bool = False) -> None:
        self.directory = directory
        if owner:
            for leftover in directory.glob("**/.*.tmp"):
                shutil.rmtree(leftover)

    def save(self, states: HiddenStates) -> None:
        """Writes states, and replaces states of the same (run, seed, epoch, split).

        They are written under a temporary name and then renamed, so readers never see them half-written.

        Raises:
          UserError: if they cannot be written, as on a full disk.
        """
        self._save(states, self._place(states.run, states.seed, states.epoch, states.split))

    def save_shard(self, states: HiddenStates, shard: int) -> None:
        """Writes shard number `shard`, counted from 0. `complete` makes the shards visible to readers.

        Raises:
          UserError: if it cannot be written, as on a full disk.
        """
        place = self._place(states.run, states.seed, states.epoch, states.split)
        self._save(states, self._growing(place) / f"shard={shard:04d}")

    def complete(self, run: str, seed: int, epoch: int, split: str) -> None:
        """Makes the shards visible to readers, once all of them are written."""
        place = self._place(run, seed, epoch, split)
        self._growing(place).rename(place)

    def shards(self, run: str, seed: int, epoch: int, split: str) -> int:
        """How many shards are written of states that are not complete yet: where a killed run resumes."""
        return len(list(self._growing(self._place(run, seed, epoch, split)).glob("shard=*")))

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        """The states of a layer, float32 [instance, width], in the file's own memory: workers share it.

        Raises:
          UserError: if the file is missing or damaged.
        """
        parts = self._parts(self._place(run, seed, epoch, split))
        hidden = [self._read(part / f"{layer}.npy", lambda path: np.load(path, mmap_mode="r")) for part in parts]
        return hidden[0] if len(hidden) == 1 else np.concatenate(hidden)

    def labels(self, run: str, seed: int, epoch: int, split: str) -> dict[str, np.ndarray]:
        """The labels of the instances, int32 [instance] columns by name.

        Raises:
          UserError: if the file is missing or damaged.
        """
        parts = self._parts(self._place(run, seed, epoch, split))
        columns = [self._read(part / "labels.npz", _arrays) for part in parts]
        return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}

    def has(self, run: str, seed: int, epoch: int, split: str) -> bool:
        return self._place(run, seed, epoch, split).is_dir()

    def delete(self, run: str, seed: int, epoch: int) -> None:
        """Deletes the states of an epoch, of all splits."""
        shutil.rmtree(self._epoch(run, seed, epoch), ignore_errors=True)

    def drop_after(self, run: str, seed: int, epoch: int) -> None:
        """Deletes the states of epochs later than `epoch`."""
        for path in self._epoch(run, seed, 0).parent.glob("epoch=*"):
            if int(path.name.removeprefix("epoch=")) > epoch:
                shutil.rmtree(path)

    def _epoch(self, run: str, seed: int, epoch: int) -> Path:
        return self.directory / run / f"seed={seed}" / f"epoch={epoch:04d}"

    def _place(self, run: str, seed: int, epoch: int, split: str) -> Path:
        return self._epoch(run, seed, epoch) / split

    def _growing(self, place: Path) -> Path:
        """The directory of the shards until all of them are written."""
        return place.with_name(f".{place.name}.growing")

    def _parts(self, place: Path) -> list[Path]:
        """The directories with the states: the shards in order, or the one directory if there are no shards."""
        return sorted(place.glob("shard=*")) or [place]

    def _save(self, states: HiddenStates, place: Path) -> None:
        temporary = place.with_name(f".{place.name}.tmp")
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            for layer, hidden_ND in zip(states.layers, states.hidden_LND, strict=True):
                np.save(temporary / f"{layer}.npy", hidden_ND)
            np.savez(temporary / "labels.npz", **states.labels)
            shutil.rmtree(place, ignore_errors=True)
            temporary.rename(place)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise UserError(f"Hidden states could not be written to {place}: {error.strerror or error}.") from error

    def _read(self, path: Path, load: Callable[[Path], T]) -> T:
        try:
            return load(path)
        except FileNotFoundError as error:
            raise UserError(f"The hidden states {path} are missing: run the stage before 'analyse' again.") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"The hidden states {path} cannot be read: {error}") from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        return dict(np.load(file))
