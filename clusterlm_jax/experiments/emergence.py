"""The main experiment: task clusters emerge in the hidden states of a GPT-2 (paper 2.2, 3.1 to 3.3).

    data -> train -> analyse -> report

Training is a generator of epochs. What it yields is put on disk, and its cells are handed to the evaluator, whose
worker processes score them while training goes on. Any stage may be killed; the same command goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
from tqdm import tqdm

from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.config import Config
from clusterlm_jax.data import storage
from clusterlm_jax.data.surface import bag_of_symbols
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import environment
from clusterlm_jax.models.gpt2 import GPT2, parameter_count
from clusterlm_jax.records import Cell, Dataset, HiddenStates, UserError, layer_names
from clusterlm_jax.report import page
from clusterlm_jax.report.tables import PAPER_MODELS, PAPER_SIZES
from clusterlm_jax.training.checkpoints import Best, Checkpoints
from clusterlm_jax.training.loop import EpochEnd, Trainer, filled_splits
from clusterlm_jax.training.state import TrainState
from clusterlm_jax.workdir import WorkDir, append_jsonl

RUN, SYMBOLS = "main", "null/symbols"


def run(config: Config, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        make_datasets(config, workdir)
    if "train" in config.stages or "analyse" in config.stages:
        train_and_analyse(config, workdir)
    if "report" in config.stages:
        with environment.timed(workdir, "report"):
            written = page.write(workdir.root, config.report)
        print(f"The report is at {written}")


def check(config: Config, workdir: WorkDir) -> None:
    """Refuses, before anything is touched, stages whose earlier ones are missing.

    Raises:
      UserError: naming the stage to run first.
    """
    if "data" not in config.stages and not all((workdir.dataset(s) / storage.FILE).is_file() for s in config.seeds):
        raise UserError(f"There is no dataset in {workdir.root}: run the 'data' stage first (config.stages).")
    if not {"data", "train"} & set(config.stages) and not workdir.metrics.is_file():
        raise UserError(f"Nothing was trained in {workdir.root}: run the 'train' stage first (config.stages).")


def make_datasets(config: Config, workdir: WorkDir) -> None:
    """Synthesises the dataset of every seed, unless the work directory has it."""
    for seed in config.seeds:
        there = (workdir.dataset(seed) / storage.FILE).exists()
        known = workdir.read_json("run.json").get("dataset", {})
        if there and str(seed) in known:
            continue
        if there:  # killed before its facts were written
            dataset = storage.load(workdir.dataset(seed))
        else:
            with environment.timed(workdir, "data"):
                dataset = synthesise(config.data, seed)
                _check_same(workdir, seed, dataset)
                storage.save(dataset, workdir.dataset(seed))
        facts = storage.statistics(dataset) | {"sha256": storage.digest(dataset)}
        workdir.update_run(dataset=known | {str(seed): facts})


def train_and_analyse(config: Config, workdir: WorkDir) -> None:
    """Trains, and scores the hidden states of every analysed epoch beside it."""
    datasets = {seed: storage.load(workdir.dataset(seed)) for seed in config.seeds}
    for seed, dataset in datasets.items():
        _check_same(workdir, seed, dataset)
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    analyse = "analyse" in config.stages
    with Evaluator(config.eval, table, store, workdir.embeddings) as evaluator:
        if analyse and config.eval.null_draws:
            _analyse_symbols(config, datasets, table, store, evaluator)
        if "train" in config.stages:
            train(config, workdir, datasets, table, store, evaluator if analyse else None)
        if analyse:
            with environment.timed(workdir, "analyse"):
                evaluator.submit(_cells_so_far(config, workdir, datasets))
                _drain(evaluator)


def train(
    config: Config,
    workdir: WorkDir,
    datasets: Mapping[int, Dataset],
    table: ScoreTable,
    store: HiddenStore,
    evaluator: Evaluator | None,
) -> None:
    """Trains from the last checkpoint, or from the start, to the last epoch; with an evaluator, analyses beside it."""
    model = GPT2(config.model, datasets[config.seeds[0]].vocabulary.size)
    trainer = Trainer(RUN, model, config.train, datasets, frozenset(analysed_epochs(config)))
    template = jax.eval_shape(trainer.initial_state)
    with Checkpoints(workdir.checkpoints, config.seeds) as checkpoints:
        done, state, best = checkpoints.restore_last(template) or (-1, None, {})
        environment.record(workdir)
        environment.check_disk(workdir, _disk_needed(config, datasets, template, evaluator is not None))
        _describe(config, workdir, trainer, template)
        # Whatever is later than the state we go on from belongs to a trajectory that no longer exists.
        workdir.rewind_metrics(done)
        table.drop_after(RUN, done)
        for seed in config.seeds:
            store.drop_after(RUN, seed, done)
        if evaluator is not None:
            evaluator.submit(_cells_so_far(config, workdir, datasets))
        epochs = trainer.epochs(state, done)
        with tqdm(
            total=config.train.epochs, initial=max(done, 0), unit="epoch", desc="train", dynamic_ncols=True
        ) as bar:
            for _ in range(done, config.train.epochs):
                with environment.timed(workdir, "train"):
                    end = next(epochs)
                    for states in (states for seed_end in end.seeds for states in seed_end.hidden):
                        store.save(states)
                    best = _record(config, workdir, checkpoints, end, best)
                    if evaluator is not None:
                        evaluator.submit(_cells_at(config, datasets, end))
                _show(bar, end, evaluator)


def analysed_epochs(config: Config) -> list[int]:
    """Epoch 0, then every `eval.every`-th, and the last."""
    return sorted({*range(0, config.train.epochs + 1, config.eval.every), config.train.epochs})


def _record(
    config: Config, workdir: WorkDir, checkpoints: Checkpoints, end: EpochEnd, best: dict[int, Best]
) -> dict[int, Best]:
    """Writes down an epoch: its metrics, the best parameters if they are its, and the states to resume from."""
    best = dict(best)
    for index, seed_end in enumerate(end.seeds):
        seed, step, accuracy = seed_end.seed, seed_end.step, seed_end.metrics["validation_accuracy"]
        append_jsonl(workdir.metrics, {"run": RUN, "seed": seed, "epoch": end.epoch, "step": step, **seed_end.metrics})
        if seed not in best or accuracy > best[seed].validation_accuracy:
            best[seed] = Best(end.epoch, step, accuracy)
            checkpoints.save_best(seed, end.epoch, end.params_of(index))
    if end.epoch % config.train.checkpoint_every == 0 or end.epoch == config.train.epochs:
        checkpoints.save_last(end.epoch, end.state, best)
    workdir.update_run(best={str(seed): dataclasses.asdict(entry) for seed, entry in best.items()})
    return best


def _cells(config: Config, datasets: Mapping[int, Dataset], seed: int, epoch: int, step: int) -> list[Cell]:
    splits, layers = filled_splits(datasets.values()), layer_names(config.model.layers)
    return cells_of(RUN, seed, epoch, step, splits, layers, config.eval)


def _cells_at(config: Config, datasets: Mapping[int, Dataset], end: EpochEnd) -> list[Cell]:
    """The cells of an epoch, of all seeds; none if it is not one to analyse."""
    read = [seed_end for seed_end in end.seeds if seed_end.hidden]
    return [cell for seed in read for cell in _cells(config, datasets, seed.seed, end.epoch, seed.step)]


def _cells_so_far(config: Config, workdir: WorkDir, datasets: Mapping[int, Dataset]) -> list[Cell]:
    """The cells of the analysed epochs trained so far, scored or not."""
    analysed = set(analysed_epochs(config))
    rows = [row for row in workdir.metrics_rows() if row["epoch"] in analysed]
    return [cell for row in rows for cell in _cells(config, datasets, row["seed"], row["epoch"], row["step"])]


def _analyse_symbols(
    config: Config, datasets: Mapping[int, Dataset], table: ScoreTable, store: HiddenStore, evaluator: Evaluator
) -> None:
    """Hands over the null baseline of surface: instances as bags of their instruction symbols, in place of states."""
    for seed, dataset in datasets.items():
        cells = cells_of(SYMBOLS, seed, 0, 0, filled_splits(datasets.values()), ("0",), config.eval)
        if all(map(table.done, cells)):
            continue
        for split, index in dataset.splits.items():
            bag_LNS = bag_of_symbols(dataset, index)[None]
            store.save(HiddenStates(bag_LNS, ("0",), dataset.columns(index), SYMBOLS, seed, 0, 0, split))
        evaluator.submit(cells)


def _drain(evaluator: Evaluator) -> None:
    with tqdm(
        total=evaluator.queued, initial=evaluator.finished, unit="cell", desc="analyse", dynamic_ncols=True
    ) as bar:

        def show(finished: int) -> None:
            bar.update(finished - bar.n)

        evaluator.drain(show)


def _show(bar: tqdm, end: EpochEnd, evaluator: Evaluator | None) -> None:
    bar.update(end.epoch - bar.n)
    shown = {"loss": "training_loss", "subset": "training_subset_accuracy", "validation": "validation_accuracy"}
    values = {
        name: " ".join(f"{seed.metrics[key]:.3f}" for seed in end.seeds if key in seed.metrics)
        for name, key in shown.items()
    }
    cells = {"cells": f"{evaluator.finished}/{evaluator.queued}"} if evaluator is not None else {}
    bar.set_postfix(values | cells)


def _describe(config: Config, workdir: WorkDir, trainer: Trainer, template: TrainState) -> None:
    """Tells, and writes down, what is trained: tables 2 and 9 beside the paper's."""
    spec, count = config.model, parameter_count(template.params) // len(config.seeds)
    sizes = workdir.read_json("run.json")["dataset"]
    for name, paper in PAPER_SIZES.items():
        ours = ", ".join(f"{sizes[str(seed)][name]:,}" for seed in config.seeds)
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
            "vocabulary": trainer.model.vocabulary,
        },
        training={
            str(seed): {"steps_per_epoch": batches.steps, "padding_share": batches.padding_share}
            for seed, batches in zip(trainer.seeds, trainer.batches, strict=True)
        },
    )


def _disk_needed(config: Config, datasets: Mapping[int, Dataset], template: TrainState, analysing: bool) -> int:
    """Bytes a run takes at most: hidden states waiting for their cells, and three checkpoints."""
    instances = sum(len(index) for dataset in datasets.values() for index in dataset.splits.values())
    an_epoch = 4 * instances * config.model.hidden_dim * len(layer_names(config.model.layers))
    epochs = len(analysed_epochs(config))
    if analysing and not config.eval.keep_hidden:
        epochs = min(epochs, config.eval.queue // (len(datasets) * len(_cells(config, datasets, 0, 0, 0))) + 2)
    checkpoint = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
    return epochs * an_epoch + 4 * checkpoint


def _check_same(workdir: WorkDir, seed: int, dataset: Dataset) -> None:
    """A run's hidden states are scored with the labels it was trained with."""
    begun_with = workdir.read_json("run.json").get("dataset", {}).get(str(seed), {}).get("sha256")
    if begun_with not in (None, storage.digest(dataset)):
        raise UserError(f"The dataset of {workdir.root} is not the one this run began with: use a new --workdir.")
