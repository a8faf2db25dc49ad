"""The main experiment: task clusters emerge in the hidden states of a GPT-2 (paper 2.2, 3.1 to 3.3).

    data -> train -> analyse -> report

Training is a generator of epochs. What it yields is put on disk, and its cells are handed to the evaluator, whose
worker processes score them while training goes on. Any stage may be killed; the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jax

from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data import storage
from clusterlm_jax.data.surface import bag_of_symbols
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import environment, phases
from clusterlm_jax.experiments.phases import Phase, Work
from clusterlm_jax.models.gpt2 import GPT2, initial_params, parameter_count
from clusterlm_jax.records import Dataset, HiddenStates, UserError
from clusterlm_jax.report import comparison, page
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import PAPER_MODELS, PAPER_SIZES
from clusterlm_jax.settings import Emergence
from clusterlm_jax.training.loop import filled_splits
from clusterlm_jax.workdir import WorkDir

RUN, SYMBOLS = "main", "null/symbols"


def run(config: Emergence, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        make_datasets(config, workdir)
    if "train" in config.stages or "analyse" in config.stages:
        train_and_analyse(config, workdir)
    if "report" in config.stages:
        with environment.timed(workdir, "report"):
            written = page.write(workdir.root, config.report)
        print(f"The report is at {written}")


def check(config: Emergence, workdir: WorkDir) -> None:
    """Refuses, before anything is touched, stages whose earlier ones are missing.

    Raises:
      UserError: naming the stage to run first.
    """
    if "data" not in config.stages and not all((workdir.dataset(s) / storage.FILE).is_file() for s in config.seeds):
        raise UserError(f"There is no dataset in {workdir.root}: run the 'data' stage first (config.stages).")
    if not {"data", "train"} & set(config.stages) and not workdir.metrics.is_file():
        raise UserError(f"Nothing was trained in {workdir.root}: run the 'train' stage first (config.stages).")


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, and returns its path."""
    return comparison.write(workdirs, into, spec)


def make_datasets(config: Emergence, workdir: WorkDir) -> None:
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


def train_and_analyse(config: Emergence, workdir: WorkDir) -> None:
    """Trains, and scores the hidden states of every analysed epoch beside it."""
    datasets = {seed: storage.load(workdir.dataset(seed)) for seed in config.seeds}
    for seed, dataset in datasets.items():
        _check_same(workdir, seed, dataset)
    phase = Phase(
        run=RUN,
        model=GPT2(config.model, datasets[config.seeds[0]].vocabulary.size),
        spec=config.train,
        datasets=datasets,
        analysed=phases.analysed_epochs(config.train.epochs, config.eval.every),
        alone=True,
    )
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    analyse = "analyse" in config.stages
    with Evaluator(config.eval, table, store, workdir.embeddings) as evaluator:
        work = Work(workdir, config.eval, table, store, evaluator if analyse else None)
        if analyse and config.eval.null_draws:
            _analyse_symbols(config, datasets, table, store, evaluator)
        if "train" in config.stages:
            _describe(config, workdir, phase)
            phases.train(phase, work)
        if analyse:
            with environment.timed(workdir, "analyse"):
                evaluator.submit(phases.cells_so_far(phase, work))
                environment.drain(evaluator)


def _analyse_symbols(
    config: Emergence, datasets: Mapping[int, Dataset], table: ScoreTable, store: HiddenStore, evaluator: Evaluator
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


def _describe(config: Emergence, workdir: WorkDir, phase: Phase) -> None:
    """Tells, and writes down, what is trained: tables 2 and 9 beside the paper's; and with what."""
    environment.record(
        workdir, {"training": str(jax.config.jax_default_matmul_precision or "default"), "hidden states": "highest"}
    )
    spec, count = config.model, parameter_count(jax.eval_shape(partial(initial_params, phase.model), jax.random.key(0)))
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
            "vocabulary": phase.model.vocabulary,
        }
    )


def _check_same(workdir: WorkDir, seed: int, dataset: Dataset) -> None:
    """A run's hidden states are scored with the labels it was trained with."""
    begun_with = workdir.read_json("run.json").get("dataset", {}).get(str(seed), {}).get("sha256")
    if begun_with not in (None, storage.digest(dataset)):
        raise UserError(f"The dataset of {workdir.root} is not the one this run began with: use a new --workdir.")
