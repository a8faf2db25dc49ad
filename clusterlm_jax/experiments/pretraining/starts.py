"""Three starts for one fine-tuning: the names of their phases, and how far and how soon each comes (paper 4.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from clusterlm_jax.report.reading import mean_run, name_of, read_phases
from clusterlm_jax.report.run import Curve, NotRun, Run, measured
from clusterlm_jax.report.tables import NEVER

TASK_ID, INSTRUCTION, NONE = "task_id", "instruction", "none"
STARTS = {TASK_ID: "task-ID pre-training", INSTRUCTION: "instruction pre-training", NONE: "no pre-training"}
PRETRAINED = (TASK_ID, INSTRUCTION)


def pretraining(start: str) -> str:
    """The phase's name in every row."""
    return f"{start}/pretrain"


def fine_tuning(start: str) -> str:
    """The phase's name in every row."""
    return f"{start}/finetune"


PHASES = (*map(pretraining, PRETRAINED), *map(fine_tuning, STARTS))


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
    def pretrainings(self) -> dict[str, Run]:
        """By start."""
        return {start: self.phases[pretraining(start)] for start in PRETRAINED}

    @property
    def fine_tunings(self) -> dict[str, Run]:
        """By start."""
        return {start: self.phases[fine_tuning(start)] for start in STARTS}

    @property
    def clusters(self) -> Run:
        """The phase whose hidden states are analysed."""
        return self.pretrainings[TASK_ID]

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.clusters.seeds

    @property
    def each_seed(self) -> tuple[Starts, ...]:
        return self.members or (self,)

    def require(self, what: str) -> None:
        """Raises `NotRun` where no `pre-training` or no `fine-tuning` has begun."""
        runs = self.pretrainings if what == "pre-training" else self.fine_tunings
        if not any(run.metrics for run in runs.values()):
            raise NotRun(f"no {what} has begun")

    def untrained(self, start: str) -> str:
        """Says in which seeds fine-tuning began with the untrained model, for no epoch of pre-training was better."""
        at_zero = [
            str(s.seeds[0]) for s in self.each_seed if start in PRETRAINED and measured(chosen_epoch, s, start) == 0
        ]
        words = f"no epoch of {STARTS[start]} is better than the untrained model, which was fine-tuned (seed "
        return f"{words}{', '.join(at_zero)})" if at_zero else ""

    def values(self, measure: Measure, start: str) -> list[float | None]:
        """A measure of a start in every seed; None where it was not run."""
        return [measured(measure, seed, start) for seed in self.each_seed]


Measure = Callable[[Starts, str], float]


def read_starts(workdir: Path) -> Starts:
    """The experiment in a work directory, as far as it has come.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    phases = read_phases(workdir, PHASES)
    name = name_of(workdir)
    by_seed = tuple(Starts(name, dict(zip(phases, runs, strict=True))) for runs in zip(*phases.values(), strict=True))
    if len(by_seed) == 1:
        return by_seed[0]
    return Starts(name, {phase: mean_run(runs) for phase, runs in phases.items()}, by_seed)


def accuracy(starts: Starts, start: str, whole: bool = True) -> Curve:
    """Validation task accuracy over a fine-tuning, which must have ended if the `whole` curve is asked for."""
    run, what = starts.fine_tunings[start], f"fine-tuning after {STARTS[start]}"
    if "validation_accuracy" not in run.metrics:
        raise NotRun(f"the {what} has not begun")
    if whole:
        _require_end(run, "train", what)
    return run.metrics["validation_accuracy"]


def epochs_to(starts: Starts, start: str, threshold: float) -> float:
    """First epoch of fine-tuning with a validation accuracy of at least `threshold`; `NEVER` where none has it."""
    for epoch, value in accuracy(starts, start, whole=False).items():
        if value >= threshold:
            return epoch
    accuracy(starts, start)  # a training that continues may still reach it
    return NEVER


def best_accuracy(starts: Starts, start: str) -> float:
    return max(accuracy(starts, start).values())


def best_epoch(starts: Starts, start: str) -> int:
    """The earliest epoch with the best accuracy."""
    curve = accuracy(starts, start)
    return max(curve, key=curve.__getitem__)


def chosen_epoch(starts: Starts, start: str) -> int:
    """The epoch of a seed's pre-training whose parameters fine-tuning begins with, once pre-training has ended."""
    run = starts.pretrainings[start]
    _require_end(run, "pretrain", STARTS[start])
    return run.facts["best"]["epoch"]


def thousand_instances_to(starts: Starts, start: str, threshold: float) -> float:
    """Thousand instances read until `epochs_to`, pre-training up to its chosen epoch included."""
    epoch = epochs_to(starts, start, threshold)
    if epoch == NEVER:
        return NEVER
    read = epoch * _instances_of_epoch(starts.fine_tunings[start])
    if start in PRETRAINED:  # there an instruction is one instance
        read += chosen_epoch(starts, start) * _instances_of_epoch(starts.pretrainings[start])
    return read / 1000


def _instances_of_epoch(run: Run) -> int:
    batches = run.facts["training"]
    if "instances_per_step" not in batches:
        raise NotRun("run.json does not say how many instances a batch has")
    return batches["steps_per_epoch"] * batches["instances_per_step"]


def _require_end(run: Run, section: str, what: str) -> None:
    if run.trained < run.config[section]["epochs"]:
        raise NotRun(f"the {what} has not ended")


THRESHOLDS = (0.5, 0.9)  # of the validation accuracy
EPOCHS_TO: Mapping[float, Measure] = {t: partial(epochs_to, threshold=t) for t in THRESHOLDS}
INSTANCES_TO: Mapping[float, Measure] = {t: partial(thousand_instances_to, threshold=t) for t in THRESHOLDS}
MEASURES: Mapping[str, Measure] = {
    **{f"epochs to validation accuracy {threshold}": measure for threshold, measure in EPOCHS_TO.items()},
    "best validation accuracy": best_accuracy,
    "its epoch": best_epoch,
    **{f"thousand instances to {t}, pre-training included": measure for t, measure in INSTANCES_TO.items()},
}
