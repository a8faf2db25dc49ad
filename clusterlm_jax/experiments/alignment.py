"""Alignment with less forgetting: four ways to give toxic tasks healthier outputs, and what each forgets (paper F.1).

    data -> train -> align -> report

A base model learns source tasks and their targets like all others. It is then fine-tuned on source instructions with
the targets' outputs: as a whole, or its language head alone. With a *switch*, a new head answers only where the switch
takes an instance for a source task's. The new head starts as a copy of the language head and is trained on the same
data with all else frozen: it is the head of `head/finetune`, so it is not trained again. Any stage may be killed; the
same command goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.alignment import OTHERS, aligned
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.phases import Phase, Work
from clusterlm_jax.experiments.switches import TrainedSwitch, trained_switches
from clusterlm_jax.models import heads
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.heads import HEAD, Answer, untied
from clusterlm_jax.records import Dataset, UserError, layer_names, write_atomically
from clusterlm_jax.report import alignment as page
from clusterlm_jax.report import alignment_comparison
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.settings import Alignment
from clusterlm_jax.training.reading import answerer
from clusterlm_jax.training.steps import axis_of
from clusterlm_jax.workdir import WorkDir, append_jsonl

BASE, WHOLE, HEAD_ALONE = "base", "direct/finetune", "head/finetune"
JUDGED = "judged"
TASKS = "tasks.jsonl"  # written last: where it is, every method has been measured


def run(config: Alignment, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        datasets.make(config.seeds, workdir, partial(synthesise, config.data))
    if {"train", "align"} & set(config.stages):
        by_seed = datasets.load(config.seeds, workdir)
        base = Phase(BASE, GPT2(config.model, by_seed[config.seeds[0]].vocabulary.size), config.train, by_seed)
        store, table = HiddenStore(workdir.hidden, owner=True), ScoreTable(workdir.scores, config.eval)
        work = Work(workdir, config.eval, table, store, evaluator=None)
        if "train" in config.stages:
            phases.describe(base, workdir)
            phases.train(base, work)
        if "align" in config.stages:
            align(config, base, work)
    if "report" in config.stages:
        with environment.timed(workdir, "report"):
            written = page.write(workdir.root, config.report)
        print(f"The report is at {written}")


def check(config: Alignment, workdir: WorkDir) -> None:
    """Refuses, before anything is touched, stages whose earlier ones are missing.

    Raises:
      UserError: naming the stage to run first.
    """
    if "data" not in config.stages:
        datasets.check(config.seeds, workdir)
    if "train" not in config.stages:
        phases.check(workdir)
    done = {row["run"] for row in workdir.metrics_rows() if row["epoch"] == config.train.epochs}
    if "align" in config.stages and "train" not in config.stages and BASE not in done:
        raise UserError(f"The base model in {workdir.root} is not trained to its end: run the 'train' stage first.")


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, and returns its path."""
    return alignment_comparison.write(workdirs, into, spec)


def align(config: Alignment, base: Phase, work: Work) -> None:
    """Fine-tunes from the base model's best epochs, trains the switches, and measures every method."""
    start = untied(phases.best_params(base, work))
    whole = Phase(
        WHOLE,
        dataclasses.replace(base.model, untied=True),
        config.finetune,
        {seed: aligned(dataset) for seed, dataset in base.datasets.items()},
        initial=start,
    )
    head = dataclasses.replace(whole, run=HEAD_ALONE, trainable=HEAD.__eq__)
    for phase in (whole, head):
        phases.train(phase, work)
    if (work.workdir.root / TASKS).exists():
        return
    with environment.timed(work.workdir, "switches"):
        axis = axis_of(config.finetune)
        switches = trained_switches(config.switch, config.eval, whole.model, base.datasets, start, axis)
        models = {BASE: start, WHOLE: phases.best_params(whole, work), HEAD_ALONE: phases.best_params(head, work)}
        write_down(measured(models, switches, whole, axis), work.workdir, whole.datasets)


def measured(
    models: Mapping[str, Any], switches: Iterable[TrainedSwitch], phase: Phase, axis: str
) -> Iterator[tuple[str, str, list[Answer]]]:
    """What every method says to the validation instances of all tasks.

    Args:
      models: parameters of the untied models by phase, stacked over the seeds.

    Yields:
      The name of a method, the phase whose best epoch it stands for, and the answers of each seed.
    """
    sets = [_judged(dataset) for dataset in phase.datasets.values()]
    layers = layer_names(phase.model.spec.layers)

    @functools.cache
    def answers(decide: heads.Decide) -> Callable[..., list[Answer]]:
        return answerer(partial(heads.answer, phase.model, decide), sets, JUDGED, axis)

    nothing = np.zeros(len(sets), int)  # in the place of a switch and its layer
    for run, name in ((BASE, BASE), ("direct", WHOLE), ("head", HEAD_ALONE)):
        yield run, name, answers(heads.never)(models[name], models[name][HEAD], nothing, nothing)
    new_head = models[HEAD_ALONE][HEAD]
    for switch in switches:
        layer_Z = np.full(len(sets), layers.index(switch.layer))
        yield switch.run, HEAD_ALONE, answers(switch.decide)(models[BASE], new_head, switch.params, layer_Z)


def write_down(
    methods: Iterable[tuple[str, str, list[Answer]]], workdir: WorkDir, updated: Mapping[int, Dataset]
) -> None:
    """A row of metrics for each method and seed, and one of `tasks.jsonl` for each validation task there."""
    best = {name: facts["best"] for name, facts in workdir.read_json("run.json")["phases"].items()}
    tasks, before = [], {}
    for run, name, answers in tqdm(methods, unit="method", desc="switches", dynamic_ncols=True):
        if run != BASE:
            workdir.rewind_metrics(run, -1)  # what a killed process left
        for (seed, dataset), answer in zip(updated.items(), answers, strict=True):
            rows = [{"run": run, "seed": seed, **row} for row in _by_task(_judged(dataset), answer)]
            tasks += rows
            others = before.setdefault(seed, _share(rows, "correct", of_source=False))  # the base model's come first
            if run == BASE:
                continue
            row = {"run": run, "seed": seed, **{key: best[name][str(seed)][key] for key in ("epoch", "step")}}
            row |= {
                "source_accuracy": _share(rows, "correct", of_source=True),
                "others_accuracy": _share(rows, "correct", of_source=False),
            }
            row["accuracy_drop"] = others - row["others_accuracy"]
            if "switch" in run:
                row["switch_recall"] = _share(rows, "switched_on", of_source=True)
                row["false_alarms"] = _share(rows, "switched_on", of_source=False)
            append_jsonl(workdir.metrics, row)
    text = "".join(json.dumps(row) + "\n" for row in tasks)
    write_atomically(workdir.root / TASKS, lambda path: path.write_text(text, encoding="utf-8"))


def _judged(dataset: Dataset) -> Dataset:
    """An aligned dataset whose one split holds all validation instances."""
    together = np.concatenate([dataset.splits["validation"], dataset.splits[OTHERS]])
    return dataclasses.replace(dataset, splits={JUDGED: together})


def _by_task(dataset: Dataset, answer: Answer) -> Iterator[dict[str, Any]]:
    """Of each validation task its role, its instances, and how many were answered right and switched on.

    `with_source_input` counts those whose input some source task has too, and `of_these_on` the switched on among them.
    """
    labels = {name: column[dataset.splits[JUDGED]] for name, column in dataset.labels.items()}
    targets = set(dataset.labels["target"].tolist())
    alike_N = np.isin(labels["input"], labels["input"][labels["target"] >= 0])
    for task in np.unique(labels["task"]).tolist():
        of_task_N = labels["task"] == task
        source = labels["target"][of_task_N][0] >= 0
        yield {
            "task": task,
            "role": "source" if source else "target" if task in targets else "other",
            "instances": int(of_task_N.sum()),
            "correct": int((answer.token_N == labels["output"])[of_task_N].sum()),
            "switched_on": int(answer.on_N[of_task_N].sum()),
            "with_source_input": int(alike_N[of_task_N].sum()),
            "of_these_on": int((answer.on_N & alike_N)[of_task_N].sum()),
        }


def _share(rows: Iterable[Mapping[str, Any]], what: str, of_source: bool) -> float:
    """A count over all instances of source tasks, or of the others, as a share of them."""
    chosen = [row for row in rows if (row["role"] == "source") == of_source]
    return sum(row[what] for row in chosen) / sum(row["instances"] for row in chosen)
