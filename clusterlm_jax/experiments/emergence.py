"""The main experiment: task clusters emerge in the hidden states of a GPT-2 (paper 2.2, 3.1 to 3.3).

    data -> train -> analyse -> report

Training is a generator of epochs. What it yields is put on disk, and its cells are handed to the evaluator, whose
worker processes score them while training goes on. Any stage may be killed; the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.phases import Phase, Work
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.report import comparison, page
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.settings import Emergence
from clusterlm_jax.workdir import WorkDir

RUN = "main"


def run(config: Emergence, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        datasets.make(config.seeds, workdir, partial(synthesise, config.data))
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
    if "data" not in config.stages:
        datasets.check(config.seeds, workdir)
        if "train" not in config.stages:
            phases.check(workdir)


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, and returns its path."""
    return comparison.write(workdirs, into, spec)


def train_and_analyse(config: Emergence, workdir: WorkDir) -> None:
    """Trains, and scores the hidden states of every analysed epoch beside it."""
    by_seed = datasets.load(config.seeds, workdir)
    phase = Phase(
        run=RUN,
        model=GPT2(config.model, by_seed[config.seeds[0]].vocabulary.size, untied=not config.model.tied),
        spec=config.train,
        datasets=by_seed,
        analysed=phases.analysed_epochs(config.train.epochs, config.eval.every),
        alone=True,
    )
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    analyse = "analyse" in config.stages
    with Evaluator(config.eval, table, store, workdir.embeddings) as evaluator:
        work = Work(workdir, config.eval, table, store, evaluator if analyse else None)
        if analyse and config.eval.null_draws:
            phases.analyse_symbols(by_seed, work)
        if "train" in config.stages:
            phases.describe(phase, workdir)
            phases.train(phase, work)
        if analyse:
            with environment.timed(workdir, "analyse"):
                evaluator.submit(phases.cells_so_far(phase, work))
                environment.drain(evaluator)
