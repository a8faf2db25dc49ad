"""Three starts for one fine-tuning, as the report sees them: their phases, and when each comes how far (paper 4.1)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clusterlm_jax.report.points import over_seeds
from clusterlm_jax.report.reading import mean_run, read_phases
from clusterlm_jax.report.run import Curve, NotRun, Run
from clusterlm_jax.report.tables import Value
from clusterlm_jax.report.timing import NEVER

STARTS = {"task_id": "task-ID pre-training", "instruction": "instruction pre-training", "none": "no pre-training"}
PRETRAINED = ("task_id", "instruction")
BEST_BY = {"task_id": "validation_accuracy", "instruction": "validation_sequence_loss"}
PHASES = (*(f"{start}/pretrain" for start in PRETRAINED), *(f"{start}/finetune" for start in STARTS))
THRESHOLDS = (0.5, 0.9)  # of the validation accuracy


@dataclasses.dataclass(frozen=True, eq=False)
class Starts:
    """One seed of the experiment, or the mean of several.

    Attributes:
      name: of the work directory.
      phases: by name, one of `PHASES`.
      members: the seeds it is the mean of; empty for one seed.
    """

    name: str
    phases: Mapping[str, Run]
    members: tuple[Starts, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.clusters.seeds

    @property
    def each_seed(self) -> tuple[Starts, ...]:
        return self.members or (self,)

    @property
    def clusters(self) -> Run:
        """The phase whose hidden states are analysed."""
        return self.phases["task_id/pretrain"]

    def pretraining(self, start: str) -> Run:
        return self.phases[f"{start}/pretrain"]

    def fine_tuning(self, start: str) -> Run:
        return self.phases[f"{start}/finetune"]

    def chosen_epoch(self, start: str) -> int:
        """The epoch of pre-training whose parameters fine-tuning begins with; known once pre-training has ended."""
        run = self.pretraining(start)
        if last_epoch(run) < run.config["pretrain"]["epochs"]:
            raise NotRun(f"the {STARTS[start]} has not ended")
        return run.facts["best"]["epoch"]


def read_starts(workdir: Path) -> Starts:
    """The experiment in a work directory, as far as it has come.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    phases = read_phases(workdir, PHASES)
    name = workdir.resolve().name
    by_seed = tuple(Starts(name, dict(zip(phases, runs, strict=True))) for runs in zip(*phases.values(), strict=True))
    if len(by_seed) == 1:
        return by_seed[0]
    return Starts(name, {phase: mean_run(runs) for phase, runs in phases.items()}, by_seed)


def last_epoch(run: Run) -> int:
    """The last epoch trained; -1 where nothing is."""
    return max((epoch for curve in run.metrics.values() for epoch in curve), default=-1)


def accuracy(starts: Starts, start: str) -> Curve:
    """Validation task accuracy over the fine-tuning."""
    curve = starts.fine_tuning(start).metrics.get("validation_accuracy", {})
    if not curve:
        raise NotRun(f"the fine-tuning after {STARTS[start]} has not begun")
    return curve


def epochs_to(starts: Starts, start: str, threshold: float) -> float:
    """First epoch of fine-tuning with a validation accuracy of at least `threshold`; `NEVER` where none has it."""
    curve = accuracy(starts, start)
    epoch = next((epoch for epoch, value in curve.items() if value >= threshold), NEVER)
    if epoch == NEVER:
        _require_end(starts, start)
    return epoch


def best_accuracy(starts: Starts, start: str) -> float:
    _require_end(starts, start)
    return max(accuracy(starts, start).values())


def best_epoch(starts: Starts, start: str) -> int:
    """The earliest epoch with the best accuracy."""
    _require_end(starts, start)
    curve = accuracy(starts, start)
    return max(curve, key=curve.__getitem__)


def instances_to(starts: Starts, start: str, threshold: float) -> float:
    """Instances read until `epochs_to`, with those of pre-training up to the chosen epoch, each an instruction."""
    epoch = epochs_to(starts, start, threshold)
    if epoch == NEVER:
        return NEVER
    read = epoch * _instances_of_epoch(starts.fine_tuning(start), "train")
    if start in PRETRAINED:
        read += starts.chosen_epoch(start) * _instances_of_epoch(starts.pretraining(start), "pretrain")
    return read


def _instances_of_epoch(run: Run, section: str) -> int:
    return run.facts["training"]["steps_per_epoch"] * run.config[section]["batch_size"]


def _require_end(starts: Starts, start: str) -> None:
    run = starts.fine_tuning(start)
    if last_epoch(run) < run.config["train"]["epochs"]:
        raise NotRun(f"the fine-tuning after {STARTS[start]} has not ended")


Measure = Callable[[Starts, str], float]
MEASURES: Mapping[str, Measure] = {
    **{
        f"epochs to validation accuracy {threshold}": lambda starts, start, t=threshold: epochs_to(starts, start, t)
        for threshold in THRESHOLDS
    },
    "best validation accuracy": best_accuracy,
    "its epoch": best_epoch,
    **{
        f"thousand instances to {threshold}, pre-training included": lambda s, start, t=threshold: (
            instances_to(s, start, t) / 1000
        )
        for threshold in THRESHOLDS
    },
}


def of_each_seed(starts: Starts, measure: Callable[[Starts], float]) -> list[float | None]:
    """A measure of every seed; None where it is not run."""
    values = []
    for member in starts.each_seed:
        try:
            values.append(measure(member))
        except NotRun:
            values.append(None)
    return values


def together(values: Sequence[float | None]) -> Value:
    """What is shown of the seeds' values: mean and standard deviation, or in how many there is none."""
    never = sum(value == NEVER for value in values)
    if None not in values and 0 < never < len(values):
        return f"never in {never} of {len(values)} seeds"
    return over_seeds(values)


def difference(first: float | None, second: float | None) -> Value:
    """The first less the second, in words where one of them was never reached."""
    if first is None or second is None:
        return None
    if math.isinf(first) and math.isinf(second):
        return "neither reached it"
    if math.isinf(first) or math.isinf(second):
        return "only the first reached it" if math.isinf(second) else "only the second reached it"
    return first - second
