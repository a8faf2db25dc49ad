"""Hidden states at rest: one directory for each (run, seed, epoch, split), one file for each layer.

States too large for one piece come in shards, directories of the same kind, of some of the instances each.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

from clusterlm_jax.records import HiddenStates, UserError


class HiddenStore:
    """Keeps what the model side wrote until the analysis has scored it; implements `records.HiddenReader`.

    Args:
      directory: where the states are.
      owner: whether this process is the one that writes; it clears what a killed one left half-written.
    """

    def __init__(self, directory: Path, owner: bool = False) -> None:
        self.directory = directory
        if owner:
            for leftover in directory.glob("**/.*.tmp"):
                shutil.rmtree(leftover)

    def save(self, states: HiddenStates) -> None:
        """Writes states under a temporary name, then renames; states of the same name are replaced.

        Raises:
          UserError: if they cannot be written, as on a full disk.
        """
        self._save(states, self._place(states.run, states.seed, states.epoch, states.split))

    def save_shard(self, states: HiddenStates, shard: int) -> None:
        """Writes shard number `shard`, counted from 0; the states are there as a whole after `complete`.

        Raises:
          UserError: if it cannot be written, as on a full disk.
        """
        place = self._place(states.run, states.seed, states.epoch, states.split)
        self._save(states, self._growing(place) / f"shard={shard:04d}")

    def complete(self, run: str, seed: int, epoch: int, split: str) -> None:
        """All shards are there: from now on they are the states."""
        place = self._place(run, seed, epoch, split)
        self._growing(place).rename(place)

    def shards(self, run: str, seed: int, epoch: int, split: str) -> int:
        """How many shards are there of states that are not there as a whole yet."""
        return len(list(self._growing(self._place(run, seed, epoch, split)).glob("shard=*")))

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        """float32 [instance, width].

        Raises:
          UserError: if the file is missing or damaged.
        """
        parts = self._parts(self._place(run, seed, epoch, split))
        hidden = [self._read(part / f"{layer}.npy", np.load) for part in parts]
        return hidden[0] if len(hidden) == 1 else np.concatenate(hidden)

    def labels(self, run: str, seed: int, epoch: int, split: str) -> dict[str, np.ndarray]:
        """int32 [instance] columns by name.

        Raises:
          UserError: if the file is missing or damaged.
        """
        parts = self._parts(self._place(run, seed, epoch, split))
        columns = [self._read(part / "labels.npz", lambda file: dict(np.load(file))) for part in parts]
        return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}

    def has(self, run: str, seed: int, epoch: int, split: str) -> bool:
        return self._place(run, seed, epoch, split).is_dir()

    def delete(self, run: str, seed: int, epoch: int) -> None:
        """Removes an epoch's states, of all splits."""
        shutil.rmtree(self._epoch(run, seed, epoch), ignore_errors=True)

    def drop_after(self, run: str, seed: int, epoch: int) -> None:
        """Removes the states of epochs later than `epoch`."""
        for path in self._epoch(run, seed, 0).parent.glob("epoch=*"):
            if int(path.name.removeprefix("epoch=")) > epoch:
                shutil.rmtree(path)

    def _epoch(self, run: str, seed: int, epoch: int) -> Path:
        return self.directory / run / f"seed={seed}" / f"epoch={epoch:04d}"

    def _place(self, run: str, seed: int, epoch: int, split: str) -> Path:
        return self._epoch(run, seed, epoch) / split

    def _growing(self, place: Path) -> Path:
        """Where the shards of states are until the last one has come."""
        return place.with_name(f".{place.name}.growing")

    def _parts(self, place: Path) -> list[Path]:
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

    def _read(self, path: Path, load):
        try:
            with path.open("rb") as file:
                return load(file)
        except FileNotFoundError as error:
            raise UserError(f"The hidden states {path} are missing: run the stage before 'analyse' again.") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"The hidden states {path} cannot be read: {error}") from error
