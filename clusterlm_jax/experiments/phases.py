"""A phase: one training, from its start to its last epoch, with the analysis of its hidden states beside it.

An experiment is one phase or several. What a phase writes carries its name, so several share a work directory; any of
them may be killed, and the same command goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.surface import bag_of_symbols
from clusterlm_jax.experiments import environment
from clusterlm_jax.models.gpt2 import GPT2, initial_params, parameter_count
from clusterlm_jax.records import Cell, Dataset, HiddenStates, UserError, layer_names
from clusterlm_jax.report.tables import PAPER_MODELS, PAPER_SIZES
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import EpochEnd, Trainer, filled_splits, stack
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import TrainState
from clusterlm_jax.workdir import WorkDir, append_jsonl

SYMBOLS = "null/symbols"


@dataclasses.dataclass(frozen=True)
class Criterion:
    """The metric whose best epoch is kept, the earliest of equal ones."""

    metric: str
    highest: bool = True

    def better(self, value: float, than: float) -> bool:
        return value > than if self.highest else value < than


ACCURACY = Criterion("validation_accuracy")  # the paper's, but for pre-training on instructions alone
LOSS = Criterion("validation_sequence_loss", highest=False)


@dataclasses.dataclass(frozen=True)
class Phase:
    """What is trained.

    Attributes:
      run: its name in every row.
      datasets: by seed.
      analysed: epochs whose hidden states are read and scored.
      initial: parameters to begin with, stacked over the seeds; None begins with the untrained model.
      trainable: whether the parameter of a path, its names joined by "/", may change; None lets all.
      alone: whether no other phase is in the work directory.
    """

    run: str
    model: GPT2
    spec: TrainSpec
    datasets: Mapping[int, Dataset]
    analysed: frozenset[int] = frozenset()
    criterion: Criterion = ACCURACY
    initial: Any = None
    trainable: Callable[[str], bool] | None = None
    alone: bool = False

    def checkpoints(self, workdir: WorkDir) -> Path:
        return workdir.checkpoints if self.alone else workdir.checkpoints / self.run


@dataclasses.dataclass(frozen=True)
class Work:
    """Where phases leave what they make; without an evaluator, hidden states wait on the disk."""

    workdir: WorkDir
    analysis: AnalysisSpec
    table: ScoreTable
    store: HiddenStore
    evaluator: Evaluator | None


def train(phase: Phase, work: Work) -> None:
    """Trains from the last checkpoint, or from the start, to the last epoch; with an evaluator, analyses beside it."""
    trainer = Trainer(
        phase.run, phase.model, phase.spec, phase.datasets, phase.analysed, phase.initial, phase.trainable
    )
    template = jax.eval_shape(trainer.initial_state)
    workdir, seeds = work.workdir, tuple(phase.datasets)
    with Checkpoints(phase.checkpoints(workdir), seeds) as checkpoints:
        done, state, best = checkpoints.restore_last(template) or (-1, None, {})
        environment.check_disk(
            workdir,
            _disk_needed(phase, work, template),
            "raise eval.every, lower eval.queue, unset eval.keep_hidden, or choose another --workdir",
        )
        _note(phase, workdir, training=_batches_of(trainer))
        # Whatever is later than the state we go on from belongs to a trajectory that no longer exists.
        workdir.rewind_metrics(phase.run, done)
        work.table.drop_after(phase.run, done)
        for seed in seeds:
            work.store.drop_after(phase.run, seed, done)
        if work.evaluator is not None:
            work.evaluator.submit(cells_so_far(phase, work))
        epochs = trainer.epochs(state, done)
        name = "train" if phase.alone else phase.run
        with tqdm(total=phase.spec.epochs, initial=max(done, 0), unit="epoch", desc=name, dynamic_ncols=True) as bar:
            for _ in range(done, phase.spec.epochs):
                with environment.timed(workdir, name):
                    end = next(epochs)
                    for states in (states for seed_end in end.seeds for states in seed_end.hidden):
                        work.store.save(states)
                    best = _record(phase, workdir, checkpoints, end, best)
                    if work.evaluator is not None:
                        work.evaluator.submit(_cells_at(phase, work, end))
                _show(bar, end, work.evaluator)


def best_params(phase: Phase, work: Work) -> Any:
    """The parameters of the best epoch of every seed, stacked.

    Raises:
      UserError: the phase was not trained, or its checkpoint cannot be read.
    """
    trainer = Trainer(phase.run, phase.model, phase.spec, phase.datasets, frozenset(), phase.initial, phase.trainable)
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), jax.eval_shape(trainer.initial_state).params
    )
    with Checkpoints(phase.checkpoints(work.workdir), tuple(phase.datasets)) as checkpoints:
        restored = [checkpoints.restore_best(seed, template)[1] for seed in phase.datasets]
    return stack(jax.device_get(restored))  # restored arrays are bound to a device, so a step would be compiled twice


def check(workdir: WorkDir) -> None:
    """Refuses to go on where nothing was trained.

    Raises:
      UserError: naming the stage to run first.
    """
    if not workdir.metrics.is_file():
        raise UserError(f"Nothing was trained in {workdir.root}: run the 'train' stage first (config.stages).")


def describe(phase: Phase, workdir: WorkDir) -> None:
    """Tells, and writes down, what is trained: tables 2 and 9 beside the paper's; and with what."""
    environment.record(
        workdir, {"training": str(jax.config.jax_default_matmul_precision or "default"), "hidden states": "highest"}
    )
    spec = phase.model.spec
    count = parameter_count(jax.eval_shape(partial(initial_params, phase.model), jax.random.key(0)))
    sizes = workdir.read_json("run.json")["dataset"]
    for name, paper in PAPER_SIZES.items():
        ours = ", ".join(f"{sizes[str(seed)][name]:,}" for seed in phase.datasets)
        print(f"{name.replace('_', ' ')}: {ours} instances (the paper: {paper:,})")
    print(
        f"hidden dim {spec.hidden_dim}: {count:,} parameters (the paper: {PAPER_MODELS.get(spec.hidden_dim, 'none')})"
    )
    workdir.update_run(
        model={
            "parameters": count,
            "hidden_dim": spec.hidden_dim,
            "ffn_dim": spec.feed_forward_width,
            "layers": spec.layers,
            "heads": spec.heads,
            "vocabulary": phase.model.vocabulary,
        }
    )


def analyse_symbols(datasets: Mapping[int, Dataset], work: Work) -> None:
    """Hands over the null baseline of surface: instances as bags of their instruction symbols, in place of states."""
    for seed, dataset in datasets.items():
        cells = cells_of(SYMBOLS, seed, 0, 0, filled_splits(datasets.values()), ("0",), work.analysis)
        if all(map(work.table.done, cells)):
            continue
        for split, index in dataset.splits.items():
            bag_LNS = bag_of_symbols(dataset, index)[None]
            work.store.save(HiddenStates(bag_LNS, ("0",), dataset.columns(index), SYMBOLS, seed, 0, 0, split))
        work.evaluator.submit(cells)


def cells_so_far(phase: Phase, work: Work) -> list[Cell]:
    """The cells of the analysed epochs trained so far, scored or not."""
    rows = [row for row in work.workdir.metrics_rows() if row["run"] == phase.run and row["epoch"] in phase.analysed]
    return [cell for row in rows for cell in _cells(phase, work, row["seed"], row["epoch"], row["step"])]


def analysed_epochs(epochs: int, every: int) -> frozenset[int]:
    """Epoch 0, then every `every`-th, and the last."""
    return frozenset({*range(0, epochs + 1, every), epochs})


def _record(
    phase: Phase, workdir: WorkDir, checkpoints: Checkpoints, end: EpochEnd, best: dict[int, Best]
) -> dict[int, Best]:
    """Writes down an epoch: its metrics, the best parameters if they are its, and the states to resume from."""
    best, metric = dict(best), phase.criterion.metric
    for index, seed_end in enumerate(end.seeds):
        seed, step, value = seed_end.seed, seed_end.step, seed_end.metrics[metric]
        append_jsonl(
            workdir.metrics, {"run": phase.run, "seed": seed, "epoch": end.epoch, "step": step, **seed_end.metrics}
        )
        if seed not in best or phase.criterion.better(value, best[seed].value):
            best[seed] = Best(end.epoch, step, value)
            checkpoints.save_best(seed, end.epoch, end.params_of(index))
    if end.epoch % phase.spec.checkpoint_every == 0 or end.epoch == phase.spec.epochs:
        checkpoints.save_last(end.epoch, end.state, best)
    facts = {str(s): {"epoch": entry.epoch, "step": entry.step, metric: entry.value} for s, entry in best.items()}
    _note(phase, workdir, best=facts)
    return best


def _note(phase: Phase, workdir: WorkDir, **sections: Any) -> None:
    """Adds sections to `run.json`: at its top if the phase is alone, else under `phases` and its name."""
    if phase.alone:
        workdir.update_run(**sections)
    else:
        known = workdir.read_json("run.json").get("phases", {})
        workdir.update_run(phases=known | {phase.run: known.get(phase.run, {}) | sections})


def _batches_of(trainer: Trainer) -> dict[str, dict[str, float]]:
    return {
        str(seed): {"steps_per_epoch": batches.steps, "padding_share": batches.padding_share}
        for seed, batches in zip(trainer.seeds, trainer.batches, strict=True)
    }


def _cells(phase: Phase, work: Work, seed: int, epoch: int, step: int) -> list[Cell]:
    splits, layers = filled_splits(phase.datasets.values()), layer_names(phase.model.spec.layers)
    return cells_of(phase.run, seed, epoch, step, splits, layers, work.analysis)


def _cells_at(phase: Phase, work: Work, end: EpochEnd) -> list[Cell]:
    """The cells of an epoch, of all seeds; none if it is not one to analyse."""
    read = [seed_end for seed_end in end.seeds if seed_end.hidden]
    return [cell for seed in read for cell in _cells(phase, work, seed.seed, end.epoch, seed.step)]


def _show(bar: tqdm, end: EpochEnd, evaluator: Evaluator | None) -> None:
    bar.update(end.epoch - bar.n)
    shown = {"loss": "training_loss", "subset": "training_subset_accuracy", "validation": "validation_accuracy"}
    values = {
        name: " ".join(f"{seed.metrics[key]:.3f}" for seed in end.seeds if key in seed.metrics)
        for name, key in shown.items()
    }
    cells = {"cells": f"{evaluator.finished}/{evaluator.queued}"} if evaluator is not None else {}
    bar.set_postfix(values | cells)


def _disk_needed(phase: Phase, work: Work, template: TrainState) -> int:
    """Bytes a phase takes at most: hidden states waiting for their cells, and three checkpoints."""
    instances = sum(len(index) for dataset in phase.datasets.values() for index in dataset.splits.values())
    spec, epochs = phase.model.spec, len(phase.analysed)
    an_epoch = 4 * instances * spec.hidden_dim * len(layer_names(spec.layers))
    if work.evaluator is not None and not work.analysis.keep_hidden:
        waiting = work.analysis.queue // (len(phase.datasets) * len(_cells(phase, work, 0, 0, 0)))
        epochs = min(epochs, waiting + 2)
    checkpoint = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
    return epochs * an_epoch + 4 * checkpoint
