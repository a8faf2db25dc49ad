"""Trains a phase into a work directory, with the analysis of its hidden states beside it.

An experiment is one phase or several. What a phase writes carries its name, so several share a work directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax

from clusterlm_jax import preemption, processes, progress
from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.data import surface
from clusterlm_jax.experiments import environment
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.files import append_jsonl
from clusterlm_jax.models import placement
from clusterlm_jax.models.gpt2 import initial_params, parameter_count
from clusterlm_jax.records import Cell, Dataset, HiddenStates, layer_names
from clusterlm_jax.report import paper
from clusterlm_jax.settings import check_data_of
from clusterlm_jax.training.checkpoints import Best, Checkpoints, facts_of
from clusterlm_jax.training.loop import EpochEnd, NotANumber, Trainer, filled_splits, initial_states, stack
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.state import TrainState
from clusterlm_jax.workdir import WorkDir

SYMBOLS = "null/symbols"
SHOWN = ("training_loss", "training_subset_accuracy", "validation_accuracy")


def train(phase: Phase, work: Work) -> None:
    """Trains from the last checkpoint, or from the start, to the last epoch; with an evaluator, analyses beside it."""
    check_data_of(phase.spec, phase.datasets, work.spec if phase.analysed else None)
    work.dir.begin_again(phase.run, phase.spec.section, work.config.as_dict())
    processes.meet(f"{phase.run} begins")  # nobody opens the checkpoints that another one still drops
    trainer = Trainer(phase)
    with preemption.held_off(), _checkpoints(phase, work.dir) as checkpoints:
        done, state, best = checkpoints.restore_last(trainer.template) or (-1, None, {})
        advice = "raise eval.every, lower eval.queue, unset eval.keep_hidden, or choose another --workdir"
        work.dir.check_disk(_disk_needed(phase, work, trainer.template), advice)
        _note(phase, work.dir, done, best, training=trainer.batches_by_seed, mesh=trainer.devices.facts(), diverged="")
        _rewind(phase, work, done)
        work.score(cells_so_far(phase, work))
        epochs = trainer.epochs(state, done)
        forecast = progress.Forecast(phase, work.evaluator, len(_cells(phase, work, 0, 0, 0)))
        with progress.bar(phase.run, "epoch", phase.spec.epochs, max(done, 0), progress.COMPILING) as shown:
            for last in range(done, phase.spec.epochs):
                with work.dir.timed("train" if phase.run == "main" else phase.run):
                    try:
                        end = next(epochs)
                    except NotANumber:
                        _note(phase, work.dir, last, best, diverged=phase.spec.section)
                        raise
                    for states in (states for seed_end in end.seeds for states in seed_end.hidden):
                        work.store.save(states)
                    best = _record(phase, work.dir, checkpoints, end, best)
                    work.score(_cells_at(phase, work, end))
                if end.epoch:  # the bar says "compiling" until an epoch was trained
                    _show(shown, end, work.evaluator)
                forecast.tell(end.epoch)
                if processes.any_of(preemption.asked.is_set()):
                    if not _due(phase, end.epoch):
                        checkpoints.save_last(end.epoch, end.state, best)
                    preemption.end_too()
                    break


def best_params(phase: Phase, workdir: WorkDir) -> Any:
    """The parameters of the best epoch of every seed, stacked. The directory is only read.

    Raises:
      UserError: the phase was not trained, or its checkpoint cannot be read.
    """
    stacked = jax.eval_shape(partial(initial_states, phase)).params
    # On the devices of this process, which may be others than it was trained on.
    place = placement.whole(placement.mesh_over(jax.devices()))
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype, sharding=place), stacked)
    with _checkpoints(phase, workdir, read_only=True) as checkpoints:
        restored = [checkpoints.restore_best(seed, template)[1] for seed in phase.seeds]
    return stack(jax.device_get(restored))  # restored arrays are bound to their devices


def trained(config: Any, workdir: WorkDir) -> bool:
    """Whether any epoch was trained."""
    return workdir.metrics.is_file()


def describe(phase: Phase, workdir: WorkDir) -> None:
    """Tells, and writes down, what is trained: tables 2 and 9 beside the paper's; and with what."""
    precision = str(jax.config.jax_default_matmul_precision or "default")
    environment.record(workdir, {"training": precision, "hidden states": "highest"})
    spec = phase.model.spec
    count = parameter_count(jax.eval_shape(partial(initial_params, phase.model), jax.random.key(0)))
    for name, size in paper.SIZES.items():
        ours = ", ".join(f"{len(dataset.splits[name]):,}" for dataset in phase.datasets.values())
        print(f"{name.replace('_', ' ')}: {ours} instances (the paper: {size:,})")
    print(
        f"hidden dim {spec.hidden_dim}: {count:,} parameters (the paper: "
        f"{paper.PARAMETERS.get(spec.hidden_dim, 'none')})"
    )
    model = {"parameters": count, "hidden_dim": spec.hidden_dim, "ffn_dim": spec.feed_forward_width}
    model |= {"layers": spec.layers, "heads": spec.heads, "vocabulary": phase.model.vocabulary}
    workdir.update_run(model=model)


def analyse(phase: Phase, work: Work) -> None:
    """Scores the analysed epochs trained so far, and as a null baseline the instances as bags of symbols; waits."""
    if work.spec.null_draws:
        _score_symbols(phase.datasets, work)
    work.score(cells_so_far(phase, work))
    work.drain()


def _score_symbols(datasets: Mapping[int, Dataset], work: Work) -> None:
    """The null baseline of surface: instances as bags of their instruction symbols, in place of hidden states."""
    for seed, dataset in datasets.items():
        cells = cells_of(SYMBOLS, seed, 0, 0, filled_splits(datasets.values()), ("0",), work.spec)
        if all(map(work.table.done, cells)):
            continue
        for split, index in dataset.splits.items():
            bag_LNV = surface.bag_of_symbols(dataset, index)[None]
            work.store.save(HiddenStates(bag_LNV, ("0",), surface.columns(dataset, index), SYMBOLS, seed, 0, 0, split))
        work.score(cells)


def cells_so_far(phase: Phase, work: Work) -> list[Cell]:
    """The cells of the analysed epochs trained so far, scored or not."""
    rows = [row for row in work.dir.metrics_rows() if row["run"] == phase.run and row["epoch"] in phase.analysed]
    return [cell for row in rows for cell in _cells(phase, work, row["seed"], row["epoch"], row["step"])]


def _checkpoints(phase: Phase, workdir: WorkDir, read_only: bool = False) -> Checkpoints:
    # The only phase of an older run has no folder of its own; such a run must resume, not begin again.
    alone = (workdir.checkpoints / "last").is_dir()
    return Checkpoints(workdir.checkpoints if alone else workdir.checkpoints / phase.run, phase.seeds, read_only)


def _rewind(phase: Phase, work: Work, done: int) -> None:
    """Drops what is later than the state we resume from: it belongs to a trajectory that no longer exists."""
    work.dir.rewind_metrics(phase.run, done)
    work.table.drop_after(phase.run, done)
    for seed in phase.seeds:
        work.store.drop_after(phase.run, seed, done)


def _record(
    phase: Phase, workdir: WorkDir, checkpoints: Checkpoints, end: EpochEnd, best: dict[int, Best]
) -> dict[int, Best]:
    """Writes down an epoch: its metrics, the best parameters if they are its, and the states to resume from."""
    best, metric = dict(best), phase.criterion.metric
    for index, seed_end in enumerate(end.seeds):
        seed, step, value = seed_end.seed, seed_end.step, seed_end.metrics[metric]
        row = {"run": phase.run, "seed": seed, "epoch": end.epoch, "step": step, **seed_end.metrics}
        append_jsonl(workdir.metrics, row)
        if seed not in best or phase.criterion.better(value, best[seed].value):
            best[seed] = Best(end.epoch, step, value)
            checkpoints.save_best(seed, end.epoch, end.params_of(index))
    if _due(phase, end.epoch):
        checkpoints.save_last(end.epoch, end.state, best)
    _note(phase, workdir, end.epoch, best)
    return best


def _due(phase: Phase, epoch: int) -> bool:
    """Whether a checkpoint is written at the end of an epoch."""
    return epoch % phase.spec.checkpoint_every == 0 or epoch == phase.spec.epochs


def _note(phase: Phase, workdir: WorkDir, trained: int, best: Mapping[int, Best], **sections: Any) -> None:
    """Writes the last epoch, the best ones, and other sections into `run.json`, under `phases` and the phase's name."""
    known, best_of = workdir.read_json("run.json").get("phases", {}), facts_of(best, phase.criterion.metric)
    facts = known.get(phase.run, {}) | {"best": best_of, "trained": trained} | sections
    workdir.update_run(phases=known | {phase.run: facts})


def _cells(phase: Phase, work: Work, seed: int, epoch: int, step: int) -> list[Cell]:
    splits, layers = filled_splits(phase.datasets.values()), layer_names(phase.model.spec.layers)
    return cells_of(phase.run, seed, epoch, step, splits, layers, work.spec)


def _cells_at(phase: Phase, work: Work, end: EpochEnd) -> list[Cell]:
    """The cells of an epoch, of all seeds; none if it is not one to analyse."""
    read = [seed_end for seed_end in end.seeds if seed_end.hidden]
    return [cell for seed in read for cell in _cells(phase, work, seed.seed, end.epoch, seed.step)]


def _show(bar: progress.Bar, end: EpochEnd, evaluator: Evaluator | None) -> None:
    bar.update(end.epoch - bar.n)
    known = [key for key in SHOWN if key in end.seeds[0].metrics]
    values = {key.replace("_", " "): " ".join(f"{seed.metrics[key]:.3f}" for seed in end.seeds) for key in known}
    cells = {"cells": f"{evaluator.finished}/{evaluator.queued}"} if evaluator is not None else {}
    bar.set_postfix(values | cells)


def _disk_needed(phase: Phase, work: Work, template: TrainState) -> int:
    """Bytes a phase takes at most: hidden states waiting for their cells, and three checkpoints."""
    instances = sum(len(index) for dataset in phase.datasets.values() for index in dataset.splits.values())
    spec, epochs = phase.model.spec, len(phase.analysed)
    an_epoch = 4 * instances * spec.hidden_dim * len(layer_names(spec.layers))
    if work.evaluator is not None and not work.spec.keep_hidden:
        waiting = work.spec.queue // (len(phase.datasets) * len(_cells(phase, work, 0, 0, 0)))
        epochs = min(epochs, waiting + 2)
    checkpoint = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
    return epochs * an_epoch + 4 * checkpoint
