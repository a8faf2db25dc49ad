"""The methods of the alignment experiment as the report sees them: what each reaches, what it forgets (paper F.1)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterlm_jax.records import FINAL_NORM, layer_names
from clusterlm_jax.report.reading import mean_run, read_phases
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.workdir import read_jsonl

FINE_TUNINGS = {"direct/finetune": "direct fine-tuning", "head/finetune": "language head fine-tuning"}
PHASES = ("base", *FINE_TUNINGS)
LEARNT = {"linear_switch": "linear switch", "mlp_switch": "MLP switch"}
SWITCHES = LEARNT | {"mean_switch": "nearest mean of a task", "kmeans_switch": "nearest KMeans centroid"}
PAPER = {  # table 11: source accuracy, accuracy drop
    "direct": (1.00, 0.210),
    "head": (1.00, 0.120),
    "linear_switch": (1.00, 0.087),
    "mlp_switch": (1.00, 0.080),
}
METRICS = {
    "source_accuracy": "source accuracy",
    "others_accuracy": "other tasks' accuracy",
    "accuracy_drop": "accuracy drop",
    "switch_recall": "source tasks switched on",
    "false_alarms": "other tasks switched on",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Methods:
    """One seed of the experiment, or the mean of several.

    Attributes:
      name: of the work directory.
      phases: the base model's training and the two fine-tunings, by the names in `PHASES`.
      measured: the metrics of each method by its run, as far as they were measured.
      tasks: the rows of `tasks.jsonl`: how many instances of a validation task each method answered and switched on.
      members: the seeds it is the mean of; empty for one seed.
    """

    name: str
    phases: Mapping[str, Run]
    measured: Mapping[str, Mapping[str, float]]
    tasks: tuple[Mapping[str, Any], ...]
    members: tuple[Methods, ...] = ()

    @property
    def base(self) -> Run:
        return self.phases["base"]

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.base.seeds

    @property
    def each_seed(self) -> tuple[Methods, ...]:
        return self.members or (self,)

    @property
    def config(self) -> Mapping[str, Any]:
        return self.base.config

    @property
    def examples(self) -> tuple[int, ...]:
        """How many of each other task the switches were trained with; the first is for table 11."""
        return tuple(self.config.get("switch", {}).get("examples", (1,)))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers a switch was trained on."""
        return layer_names(self.config.get("model", {}).get("layers", 0))[1:]

    @property
    def four(self) -> dict[str, str]:
        """The runs of table 11's methods by their kind, in its order."""
        first = f"/examples={self.examples[0]}"
        return {kind: kind + (first if kind in LEARNT else "") for kind in PAPER}

    @property
    def complete(self) -> bool:
        """Whether the methods of table 11 were measured in every seed."""
        return all(run in member.measured for member in self.each_seed for run in self.four.values())

    def at_layer(self, kind: str, layer: str) -> str:
        """The run of a learnt switch that reads a layer."""
        main = self.config.get("switch", {}).get("layer", FINAL_NORM)
        return f"{kind}/examples={self.examples[0]}" if layer == main else f"{kind}/layer={layer}"

    def value(self, run: str, metric: str) -> float:
        """A metric of a method; of several seeds, their mean."""
        try:
            if self.members:
                return sum(member.measured[run][metric] for member in self.members) / len(self.members)
            return self.measured[run][metric]
        except KeyError:
            raise NotRun(f"{method_words(run)} has not been measured") from None

    def values(self, run: str, metric: str) -> list[float | None]:
        """A metric of a method in every seed; None where it was not measured."""
        return [member.measured.get(run, {}).get(metric) for member in self.each_seed]


def read_methods(workdir: Path) -> Methods:
    """The experiment in a work directory, as far as it has come.

    Raises:
      UserError: there is no such directory, or a file in it is damaged.
    """
    phases = read_phases(workdir, PHASES)
    rows = [row for row in read_jsonl(workdir / "metrics.jsonl") if row["run"] not in PHASES]
    tasks = read_jsonl(workdir / "tasks.jsonl")
    name = workdir.resolve().name
    by_seed = tuple(
        Methods(
            name,
            dict(zip(phases, runs, strict=True)),
            {row["run"]: row for row in rows if row["seed"] == runs[0].seeds[0]},
            tuple(row for row in tasks if row["seed"] == runs[0].seeds[0]),
        )
        for runs in zip(*phases.values(), strict=True)
    )
    if len(by_seed) == 1:
        return by_seed[0]
    return Methods(name, {phase: mean_run(runs) for phase, runs in phases.items()}, {}, (), by_seed)


def method_words(run: str) -> str:
    """`linear_switch/examples=2` -> `linear switch, 2 examples`."""
    kind, _, variation = run.partition("/")
    words = {"direct": "direct fine-tuning", "head": "language head fine-tuning"} | SWITCHES
    name, equals, value = variation.partition("=")
    if not variation:
        return words[kind]
    if not equals:
        return f"{words[kind]}, with as many clusters as {name.replace('_', '-')}s"
    if name == "examples":
        return f"{words[kind]}, {value} example{'s' if value != '1' else ''} of each other task"
    return f"{words[kind]}, {re.sub('^(?=[0-9])', 'layer ', value.replace('_', ' '))}"


def baselines(methods: Methods) -> Sequence[str]:
    """The runs of the switches that nobody trains."""
    kmeans = ("kmeans_switch/task", "kmeans_switch/distribution_mapping")
    return (*kmeans, *(f"mean_switch/examples={number}" for number in methods.examples))
