"""Checkpoints through orbax: the last states, to resume from, and the best parameters (paper 3.1)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from clusterlm_jax.records import UserError
from clusterlm_jax.training.state import TrainState

logging.getLogger("absl").setLevel(logging.WARNING)  # orbax logs every file it writes


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
        self._save(self._best[seed], epoch, params=ocp.args.StandardSave(params))

    def save_last(self, epoch: int, state: TrainState, best: Mapping[int, Best]) -> None:
        """Saves the states of all seeds, and the best epoch of each so far, in the background.

        The arrays are copied from the device before this returns: the next step may overwrite them there.
        """
        progress = {"epoch": epoch, "best": {str(seed): dataclasses.asdict(entry) for seed, entry in best.items()}}
        self._save(self._last, epoch, state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))

    def restore_last(self, template: TrainState) -> tuple[int, TrainState, dict[int, Best]] | None:
        """The newest states, their epoch, and the best epoch of each seed until then; None if nothing was saved.

        The states go where the template says, on whatever devices they were saved from.

        Raises:
          UserError: if it cannot be read.
        """
        epoch = self._last.latest_step()
        if epoch is None:
            self._forget_later_best(-1)  # killed before the first state was complete: training begins again
            return None
        arguments = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, template)),
            progress=ocp.args.JsonRestore(),
        )
        restored = self._restore(self._last, "last", epoch, arguments)
        self._forget_later_best(epoch)
        return epoch, restored.state, {int(s): Best(**entry) for s, entry in restored.progress["best"].items()}

    def restore_best(self, seed: int, template: Any) -> tuple[int, Any]:
        """The best epoch of a seed and its parameters.

        Raises:
          UserError: if there are none or they cannot be read.
        """
        epoch = self._best[seed].latest_step()
        if epoch is None:
            raise UserError(f"There is no best checkpoint in {self._directory}: run the 'train' stage first.")
        params = ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, template))
        arguments = ocp.args.Composite(params=params)
        return epoch, self._restore(self._best[seed], f"best/seed={seed}", epoch, arguments).params

    def close(self) -> None:
        """Waits until all checkpoints are written."""
        self._guard(lambda: [manager.close() for manager in (self._last, *self._best.values())])

    def _save(self, manager: ocp.CheckpointManager, epoch: int, **items: Any) -> None:
        self._guard(lambda: manager.save(epoch, args=ocp.args.Composite(**items), force=True))

    def _restore(self, manager, name: str, epoch: int, arguments):
        try:
            return manager.restore(epoch, args=arguments)
        except Exception as error:  # a damaged file makes orbax and tensorstore raise exceptions of many classes
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(
                f"The checkpoint {self._directory / name / str(epoch)} cannot be read ({reason}): "
                "delete it to resume from the one before."
            ) from error

    def _forget_later_best(self, epoch: int) -> None:
        """Deletes best epochs after the state we resume from: training reaches them again, and saves them again."""
        for manager in self._best.values():
            for later in [step for step in manager.all_steps() if step > epoch]:
                manager.delete(later)

    def _guard(self, action) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            raise UserError(f"A checkpoint could not be written to {self._directory}: {error}") from error
