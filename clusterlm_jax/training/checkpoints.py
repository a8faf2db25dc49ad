"""Checkpoints through orbax: the last states, to resume from, and the best parameters (paper 3.1)."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from clusterlm_jax.files import checksum
from clusterlm_jax.records import UserError
from clusterlm_jax.training.state import TrainState

# orbax logs every file it writes, and the traceback of what it raises too: the user is told that in a sentence.
logging.getLogger("absl").setLevel(logging.CRITICAL)


@dataclasses.dataclass(frozen=True)
class Best:
    """The best epoch so far, and its value of the metric that chooses it."""

    epoch: int
    step: int
    value: float


def facts_of(best: Mapping[int, Best], metric: str) -> dict[str, dict[str, float]]:
    """What `run.json` says of the best epochs, by seed; `metric` is the one that chose them."""
    return {str(s): {"epoch": entry.epoch, "step": entry.step, metric: entry.value} for s, entry in best.items()}


class Checkpoints:
    """`last/` holds the two newest states of all seeds, `best/seed=S/` the parameters of the best epoch of seed S.

    orbax writes a checkpoint to a temporary directory and renames it when it is complete, so a checkpoint that exists
    is complete. orbax also writes in the background: use this as a context manager, which waits for it at the end.
    It restores other numbers from a file with flipped bits without a word, so each checkpoint has a checksum of ours.

    With `read_only` nothing is made or cleaned up in the directory, which may be another process's.
    """

    def __init__(self, directory: Path, seeds: Sequence[int], read_only: bool = False) -> None:
        self._directory = directory.absolute()  # orbax takes no relative paths
        self._read_only = read_only
        self._last = self._manager("last", keep=2)  # two: if the newest is damaged, the one before it still serves
        self._best = {seed: self._manager(f"best/seed={seed}", keep=1) for seed in seeds}

    def _manager(self, name: str, keep: int) -> ocp.CheckpointManager:
        # A killed run leaves temporary directories behind; orbax removes them only if it is told to.
        writes = {"max_to_keep": keep, "cleanup_tmp_directories": True}
        # Several managers write at once. In several processes each waits for its own counterparts, by this name.
        waits = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=name)
        options = ocp.CheckpointManagerOptions(
            **({"create": False} if self._read_only else writes), multiprocessing_options=waits
        )
        return ocp.CheckpointManager(self._directory / name, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def save_best(self, seed: int, epoch: int, params: Any) -> None:
        """Saves the parameters of one seed."""
        self._save(self._best[seed], epoch, {}, params=params)

    def save_last(self, epoch: int, state: TrainState, best: Mapping[int, Best]) -> None:
        """Saves the states of all seeds, and the best epoch of each so far, in the background.

        The arrays are copied from the device before this returns: the next step may overwrite them there.
        """
        progress = {"epoch": epoch, "best": {str(seed): dataclasses.asdict(entry) for seed, entry in best.items()}}
        self._save(self._last, epoch, progress, state=state)

    def restore_last(self, template: TrainState) -> tuple[int, TrainState, dict[int, Best]] | None:
        """The newest states that can be read, their epoch, and the best epoch of each seed until then; None if nothing
        was saved. Newer ones, which are damaged, are named and deleted: training reaches their epochs again.

        The states go where the template says, on whatever devices they were saved from.

        Raises:
          UserError: if none can be read.
        """
        epochs = sorted(self._last.all_steps(), reverse=True)
        if not epochs:
            self._forget_later_best(-1)  # killed before the first state was complete: training begins again
            return None
        damage = []
        for epoch in epochs:
            try:
                state, best = self._restore(self._last, "last", epoch, "state", template)
                break
            except UserError as error:
                damage.append(error)
        else:
            raise UserError(f"{damage[0]}, nor an earlier one: delete {self._directory} to train again.")
        for error, damaged in zip(damage, epochs, strict=False):
            print(f"clusterlm_jax: {error}; it is deleted, and epoch {epoch} is the last one now.", file=sys.stderr)
            self._last.delete(damaged)
        lost = self._forget_later_best(epoch)
        return epoch, state, {seed: entry for seed, entry in best.items() if seed not in lost}

    def restore_best(self, seed: int, template: Any) -> tuple[int, Any]:
        """The best epoch of a seed and its parameters.

        Raises:
          UserError: if there are none or they cannot be read.
        """
        epoch = self._best[seed].latest_step()
        if epoch is None:
            raise UserError(f"There is no best checkpoint in {self._directory}: run the 'train' stage first.")
        try:
            return epoch, self._restore(self._best[seed], f"best/seed={seed}", epoch, "params", template)[0]
        except UserError as error:
            raise UserError(f"{error}: delete {self._directory} to train again.") from error

    def close(self) -> None:
        """Waits until all checkpoints are written."""
        self._guard(lambda: [manager.close() for manager in (self._last, *self._best.values())])

    def _save(self, manager: ocp.CheckpointManager, epoch: int, progress: dict[str, Any], **item: Any) -> None:
        """Saves a tree under the name of the item, and beside it the progress and the sum of both."""
        ((name, tree),) = item.items()
        noted = ocp.args.JsonSave(progress | {"sum": sum_of(tree, progress)})
        arguments = ocp.args.Composite(**{name: ocp.args.StandardSave(tree)}, progress=noted)
        self._guard(lambda: manager.save(epoch, args=arguments, force=True))

    def _restore(
        self, manager: ocp.CheckpointManager, name: str, epoch: int, item: str, template: Any
    ) -> tuple[Any, dict[int, Best]]:
        """An item of a checkpoint, and the best epochs noted beside it. Earlier versions noted no sum."""
        path = self._directory / name / str(epoch)
        arguments = {item: ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, template))}
        if (path / "progress").is_dir():
            arguments["progress"] = ocp.args.JsonRestore()
        try:
            restored = manager.restore(epoch, args=ocp.args.Composite(**arguments))
            progress = restored.get("progress") or {}
            saved, read = progress.pop("sum", None), sum_of(restored[item], progress)
            if None not in (saved, read) and saved != read:
                raise ValueError("its numbers are not those that were saved")
            return restored[item], {int(s): Best(**entry) for s, entry in progress.get("best", {}).items()}
        except Exception as error:  # a damaged file makes orbax and tensorstore raise exceptions of many classes
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(f"The checkpoint {path} cannot be read ({reason})") from error

    def _forget_later_best(self, epoch: int) -> set[int]:
        """Deletes best epochs after the state we resume from: training reaches them again, and saves them again.

        Returns:
          The seeds that had one. The best epoch before it is on the disk no more, so the next one takes its place.
        """
        later = {seed: manager.latest_step() for seed, manager in self._best.items()}
        lost = {seed for seed, step in later.items() if step is not None and step > epoch}
        for seed in lost:
            self._best[seed].delete(later[seed])
        return lost

    def _guard(self, action) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            raise UserError(f"A checkpoint could not be written to {self._directory}: {error}") from error


def sum_of(tree: Any, progress: Mapping[str, Any]) -> int | None:
    """A checksum of a tree's arrays and of the progress; None where no process of several holds the arrays whole.

    It is taken on the host: on the device it would wait for the next epoch, which is computed meanwhile.
    """
    leaves = jax.tree.leaves(tree)
    if not all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in leaves if isinstance(leaf, jax.Array)):
        return None
    return checksum(map(np.asarray, leaves), zlib.crc32(json.dumps(progress, sort_keys=True).encode()))
