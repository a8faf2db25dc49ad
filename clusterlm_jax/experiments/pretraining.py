"""Pre-training with task identities: three starts for the same fine-tuning (paper 4.1, figure 5).

    data -> train -> analyse -> report

Each start but the last is a training of its own, whose best parameters the fine-tuning begins with:

    task_id/pretrain      causal language modelling over [instruction, trigger, task identity]
    instruction/pretrain  causal language modelling over instructions alone
    none                  the initial values that both of these began with

The fine-tunings see the same instances in the same order. The hidden states of task-identity pre-training are read at
the trigger and scored beside it. Any stage may be killed; the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.pretraining import instructions_alone, task_identification, with_task_identities
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.phases import Phase, Work
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import Dataset
from clusterlm_jax.report import pretraining as page
from clusterlm_jax.report import pretraining_comparison as comparison
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.settings import Pretraining
from clusterlm_jax.workdir import WorkDir


def run(config: Pretraining, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        datasets.make(config.seeds, workdir, partial(synthesise, config.data))
    if "train" in config.stages or "analyse" in config.stages:
        train_and_analyse(config, workdir)
    if "report" in config.stages:
        with environment.timed(workdir, "report"):
            written = page.write(workdir.root, config.report)
        print(f"The report is at {written}")


def check(config: Pretraining, workdir: WorkDir) -> None:
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


def train_and_analyse(config: Pretraining, workdir: WorkDir) -> None:
    """Trains phase after phase, and scores the clusters of task-identity pre-training beside it."""
    by_seed = {seed: with_task_identities(d) for seed, d in datasets.load(config.seeds, workdir).items()}
    pretrainings = pretrainings_of(config, by_seed)
    analysed = pretrainings["task_id"]
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    analyse = "analyse" in config.stages
    with Evaluator(config.eval, table, store, workdir.embeddings) as evaluator:
        work = Work(workdir, config.eval, table, store, evaluator if analyse else None)
        if analyse and config.eval.null_draws:
            phases.analyse_symbols(analysed.datasets, work)
        if "train" in config.stages:
            phases.describe(analysed, workdir)
            for start, pretraining in pretrainings.items():
                if pretraining is not None:
                    phases.train(pretraining, work)
                phases.train(fine_tuning_of(config, by_seed, start, pretraining, work), work)
        if analyse:
            with environment.timed(workdir, "analyse"):
                evaluator.submit(phases.cells_so_far(analysed, work))
                environment.drain(evaluator)


def pretrainings_of(config: Pretraining, datasets: Mapping[int, Dataset]) -> dict[str, Phase | None]:
    """What comes before fine-tuning, by start; None where nothing does.

    Args:
      datasets: by seed, of `with_task_identities`.
    """
    phase = partial(Phase, model=_model(config, datasets), spec=config.pretrain)
    return {
        "task_id": phase(
            "task_id/pretrain",
            datasets={seed: task_identification(dataset) for seed, dataset in datasets.items()},
            analysed=phases.analysed_epochs(config.pretrain.epochs, config.eval.every),
        ),
        "instruction": phase(
            "instruction/pretrain",
            datasets={seed: instructions_alone(dataset) for seed, dataset in datasets.items()},
            criterion=phases.LOSS,
        ),
        "none": None,
    }


def fine_tuning_of(
    config: Pretraining, datasets: Mapping[int, Dataset], start: str, pretraining: Phase | None, work: Work
) -> Phase:
    """The training that is the same for every start but for its initial parameters."""
    initial = None if pretraining is None else phases.best_params(pretraining, work)
    return Phase(f"{start}/finetune", _model(config, datasets), config.train, datasets, initial=initial)


def _model(config: Pretraining, datasets: Mapping[int, Dataset]) -> GPT2:
    return GPT2(config.model, datasets[config.seeds[0]].vocabulary.size, untied=not config.model.tied)
