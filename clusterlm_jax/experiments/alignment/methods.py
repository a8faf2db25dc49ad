"""The methods of the alignment experiment: the names of their runs, what each reaches, what it forgets (paper F.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterlm_jax.files import read_jsonl
from clusterlm_jax.records import FINAL_NORM, UserError, layer_names
from clusterlm_jax.report.reading import mean_run, name_of, read_phases
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.words import counted, layer_words
from clusterlm_jax.training.spec import KMEANS, KMEANS_RUNS, LINEAR, MEAN, MLP, variant

BASE, WHOLE, HEAD_ALONE = "base", "direct/finetune", "head/finetune"
PHASES = {BASE: "base model", WHOLE: "direct", HEAD_ALONE: "head alone"}
FINE_TUNINGS = (WHOLE, HEAD_ALONE)
DIRECT, HEAD = "direct", "head"
LEARNT = (LINEAR, MLP)
FOUR = (DIRECT, HEAD, *LEARNT)  # of table 11, in its order
WORDS = {
    DIRECT: "direct fine-tuning",
    HEAD: "language head fine-tuning",
    LINEAR: "linear switch",
    MLP: "MLP switch",
    MEAN: "nearest mean of a task",
    KMEANS: "nearest KMeans centroid",
}
METRICS = {
    "source_accuracy": "source accuracy",
    "others_accuracy": "other tasks' accuracy",
    "accuracy_drop": "accuracy drop",
    "switch_recall": "source tasks switched on",
    "false_alarms": "other tasks switched on",
}
TASKS = "tasks.jsonl"  # how many instances of a validation task each method answered right and switched on


def method_words(run: str) -> str:
    """`linear_switch/examples=2` -> `linear switch, 2 examples of each other task`."""
    kind, _, variation = run.partition("/")
    name, _, value = variation.partition("=")
    if not variation:
        return WORDS[kind]
    if name == "examples":
        return f"{WORDS[kind]}, {counted(int(value), 'example')} of each other task"
    if name == "layer":
        return f"{WORDS[kind]}, {layer_words(value)}"
    return f"{WORDS[kind]}, with as many clusters as {name.replace('_', '-')}s"


@dataclasses.dataclass(frozen=True, eq=False)
class Methods:
    """One seed of the experiment, or the mean of several.

    Attributes:
      name: of the work directory.
      phases: the base model's training and the two fine-tunings, by the names in `PHASES`.
      measured: the metrics of each method by its run, as far as they were measured.
      tasks: the rows of `TASKS`.
      members: the seeds it is the mean of; empty for one seed.
    """

    name: str
    phases: Mapping[str, Run]
    measured: Mapping[str, Mapping[str, float]]
    tasks: tuple[Mapping[str, Any], ...]
    members: tuple[Methods, ...] = ()

    @property
    def base(self) -> Run:
        return self.phases[BASE]

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.base.seeds

    @property
    def each_seed(self) -> tuple[Methods, ...]:
        return self.members or (self,)

    @property
    def examples(self) -> tuple[int, ...]:
        """How many of each other task the switches were trained with; the first is for table 11."""
        return tuple(self.base.config.get("switch", {}).get("examples", (1,)))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers a switch was trained on."""
        return layer_names(self.base.config.get("model", {}).get("layers", 0))[1:]

    @property
    def four(self) -> dict[str, str]:
        """The runs of table 11's methods by their kind, in its order."""
        return {kind: variant(kind, examples=self.examples[0]) if kind in LEARNT else kind for kind in FOUR}

    @property
    def baselines(self) -> tuple[str, ...]:
        """The runs of the switches that nobody trains."""
        return (*KMEANS_RUNS.values(), *(variant(MEAN, examples=number) for number in self.examples))

    def at_layer(self, kind: str, layer: str) -> str:
        """The run of a learnt switch that reads a layer."""
        configured = self.base.config.get("switch", {}).get("layer", FINAL_NORM)
        return self.four[kind] if layer == configured else variant(kind, layer=layer)

    def values(self, run: str, metric: str) -> list[float | None]:
        """A metric of a method in every seed; None where it was not measured."""
        return [seed.measured.get(run, {}).get(metric) for seed in self.each_seed]

    def value(self, run: str, metric: str) -> float:
        """A metric of a method; of several seeds, their mean."""
        values = self.values(run, metric)
        if None in values:
            raise NotRun(f"{method_words(run)} has not been measured")
        return sum(values) / len(values)

    def require(self) -> None:
        """Raises `NotRun` where a method of table 11 was not measured in every seed."""
        for run in self.four.values():
            self.value(run, "source_accuracy")


def read_methods(workdir: Path) -> Methods:
    """The experiment in a work directory, as far as it has come.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    phases, name = read_phases(workdir, tuple(PHASES)), name_of(workdir)
    rows, tasks = read_jsonl(workdir / "metrics.jsonl"), read_jsonl(workdir / TASKS)
    if lost := {(row["run"], row["seed"]) for row in tasks} - {(row["run"], row["seed"]) for row in rows}:
        raise UserError(
            f"{workdir}/metrics.jsonl is damaged (it lacks {min(lost)[0]}): delete {TASKS} to measure again."
        )
    by_seed = tuple(
        Methods(
            name,
            dict(zip(phases, runs, strict=True)),
            {row["run"]: row for row in rows if row["seed"] == runs[0].seeds[0] and row["run"] not in PHASES},
            tuple(row for row in tasks if row["seed"] == runs[0].seeds[0]),
        )
        for runs in zip(*phases.values(), strict=True)
    )
    if len(by_seed) == 1:
        return by_seed[0]
    return Methods(name, {phase: mean_run(runs) for phase, runs in phases.items()}, {}, (), by_seed)
