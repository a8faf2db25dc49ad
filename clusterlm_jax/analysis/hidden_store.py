"""Hidden states at rest: one directory for each (run, seed, epoch, split), one file for each layer."""

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
        place = self._place(states.run, states.seed, states.epoch, states.split)
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

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        """float32 [instance, width].

        Raises:
          UserError: if the file is missing or damaged.
        """
        return self._read(self._place(run, seed, epoch, split) / f"{layer}.npy", np.load)

    def labels(self, run: str, seed: int, epoch: int, split: str) -> dict[str, np.ndarray]:
        """int32 [instance] columns by name.

        Raises:
          UserError: if the file is missing or damaged.
        """
        return self._read(self._place(run, seed, epoch, split) / "labels.npz", lambda file: dict(np.load(file)))

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

    def _read(self, path: Path, load):
        try:
            with path.open("rb") as file:
                return load(file)
        except FileNotFoundError as error:
            raise UserError(f"The hidden states {path} are missing: run the 'train' stage again.") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"The hidden states {path} cannot be read: {error}") from error
