"""Alignment with less forgetting: four ways to give toxic tasks healthier outputs, and what each forgets (paper F.1).

    data -> train -> align -> report

A base model learns source tasks and their targets like all others. It is then fine-tuned on source instructions with
the targets' outputs: as a whole, or its language head alone. With a *switch*, a new head answers only where the switch
takes an instance for a source task's. The new head starts as a copy of the language head and is trained on the same
data with all else frozen: it is the head of `head/finetune`, so it is not trained again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from clusterlm_jax.analysis.answers import count_by_task, share
from clusterlm_jax.data.alignment import OTHERS, aligned
from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.alignment.methods import BASE, DIRECT, HEAD, HEAD_ALONE, TASKS, WHOLE
from clusterlm_jax.experiments.alignment.settings import Alignment
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.files import append_jsonl
from clusterlm_jax.models import heads
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import Dataset, layer_names, write_atomically
from clusterlm_jax.settings import check_data_of
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.reading import answerer
from clusterlm_jax.training.steps import axis_of
from clusterlm_jax.training.switches import TrainedSwitch, trained_switches
from clusterlm_jax.workdir import WorkDir

JUDGED = "judged"  # the split of all validation instances
MethodAnswers = tuple[str, str, list[heads.Answer]]  # a method, the phase whose best epoch it has, the seeds' answers


def train(config: Alignment, work: Work) -> None:
    phase = the_base(config, work)
    check_data_of(config.finetune, {seed: aligned(dataset) for seed, dataset in phase.datasets.items()})
    phases.describe(phase, work.dir)
    phases.train(phase, work)


def align(config: Alignment, work: Work) -> None:
    """Fine-tunes from the base model's best epochs, trains the switches, and measures every method."""
    base = the_base(config, work)
    start = heads.untied(phases.best_params(base, work.dir))
    whole, head = fine_tunings(config, base, start)
    for phase in (whole, head):
        phases.train(phase, work)
    if (work.dir.root / TASKS).exists():  # it is written last: every method has been measured
        return
    with work.dir.timed("switches"):
        axis = axis_of(config.finetune)
        switches = trained_switches(config.switch, config.eval, whole.model, base.datasets, start, axis)
        tuned = {phase.run: phases.best_params(phase, work.dir) for phase in (whole, head)}
        write_down(measured({BASE: start} | tuned, switches, whole, axis), work.dir, whole.datasets)


def the_base(config: Alignment, work: Work) -> Phase:
    by_seed = datasets.load(config, work.dir)
    return Phase(BASE, GPT2(config.model, by_seed[config.seeds[0]].vocabulary.size), config.train, by_seed)


def fine_tunings(config: Alignment, base: Phase, start: Any) -> tuple[Phase, Phase]:
    """Of the whole model and of its head alone, from the parameters `start` of the untied base model."""
    updated = {seed: aligned(dataset) for seed, dataset in base.datasets.items()}
    whole = Phase(WHOLE, dataclasses.replace(base.model, untied=True), config.finetune, updated, initial=start)
    return whole, dataclasses.replace(whole, run=HEAD_ALONE, trainable=heads.HEAD)


def base_trained(config: Alignment, workdir: WorkDir) -> bool:
    """Whether the base model reached its last epoch: only then is its best one known."""
    return any(row["run"] == BASE and row["epoch"] == config.train.epochs for row in workdir.metrics_rows())


def measured(
    models: Mapping[str, Any], switches: Iterable[TrainedSwitch], phase: Phase, axis: str
) -> Iterator[MethodAnswers]:
    """What every method answers to the validation instances of all tasks; first the base model's answers.

    Args:
      models: parameters of the untied models by phase, stacked over the seeds.
    """
    sets = [dataclasses.replace(d, splits={JUDGED: _validation(d)}) for d in phase.datasets.values()]
    layers = layer_names(phase.model.spec.layers)

    @functools.cache  # a program is compiled once for all switches of a kind
    def answers(decide: heads.Decide) -> Callable[..., list[heads.Answer]]:
        return answerer(partial(heads.answer, phase.model, decide), sets, JUDGED, axis)

    nothing = np.zeros(len(sets), int)  # in the place of a switch and its layer
    for run, name in ((BASE, BASE), (DIRECT, WHOLE), (HEAD, HEAD_ALONE)):
        yield run, name, answers(heads.never)(models[name], models[name][heads.HEAD], nothing, nothing)
    new_head = models[HEAD_ALONE][heads.HEAD]
    for switch in switches:
        layer_Z = np.full(len(sets), layers.index(switch.layer))
        yield switch.run, HEAD_ALONE, answers(switch.decide)(models[BASE], new_head, switch.params, layer_Z)


def write_down(methods: Iterable[MethodAnswers], workdir: WorkDir, updated: Mapping[int, Dataset]) -> None:
    """A row of metrics for each method and seed, and one of `TASKS` for each validation task there."""
    best = {name: facts["best"] for name, facts in workdir.read_json("run.json")["phases"].items()}
    tasks, others_before = [], {}
    for run, name, answers in tqdm(methods, unit="method", desc="switches", dynamic_ncols=True):
        if run != BASE:
            workdir.rewind_metrics(run, -1)  # what a killed process left
        for (seed, dataset), (token_N, on_N) in zip(updated.items(), answers, strict=True):
            labels = dataset.columns(_validation(dataset))
            counts = count_by_task(labels, dataset.labels["target"].tolist(), token_N, on_N)
            rows = [{"run": run, "seed": seed, **row} for row in counts]
            tasks += rows
            if run == BASE:
                others_before[seed] = share(rows, "correct", of_source=False)
                continue
            at = {key: best[name][str(seed)][key] for key in ("epoch", "step")}
            metrics = _metrics(rows, others_before[seed], with_switch=run not in (DIRECT, HEAD))
            append_jsonl(workdir.metrics, {"run": run, "seed": seed, **at, **metrics})
    text = "".join(json.dumps(row) + "\n" for row in tasks)
    write_atomically(workdir.root / TASKS, lambda path: path.write_text(text, encoding="utf-8"))


def _metrics(rows: Sequence[Mapping[str, Any]], others_before: float, with_switch: bool) -> dict[str, float]:
    """The metrics of a method from its counts by task; `others_before` is the base model's accuracy on the others."""
    source, others = (share(rows, "correct", of_source=of_source) for of_source in (True, False))
    metrics = {"source_accuracy": source, "others_accuracy": others, "accuracy_drop": others_before - others}
    if with_switch:
        metrics["switch_recall"] = share(rows, "switched_on", of_source=True)
        metrics["false_alarms"] = share(rows, "switched_on", of_source=False)
    return metrics


def _validation(dataset: Dataset) -> np.ndarray:
    """All validation instances of an aligned dataset, which has them in two splits."""
    return np.concatenate([dataset.splits["validation"], dataset.splits[OTHERS]])


STAGES = {
    "data": datasets.MAKE,
    "train": Stage(train, ("data",), base_trained, environment.check_device, timed=False, together=True),
    "align": Stage(align, ("data", "train"), check=environment.check_device, timed=False, together=True),
    "report": report("data"),
}
