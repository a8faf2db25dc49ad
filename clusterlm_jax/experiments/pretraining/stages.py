"""Pre-training with task identities: three starts for the same fine-tuning (paper 4.1, figure 5).

    data -> train -> analyse -> report

Each start but the last is a training of its own. Fine-tuning begins with its best parameters:

    task_id/pretrain      causal language modelling over [instruction, trigger, task identity]
    instruction/pretrain  causal language modelling over instructions alone
    none                  the initial values that both of these began with

All fine-tunings see the same instances in the same order. The hidden states of task-identity pre-training are read at
the trigger and scored while training continues.
"""

from __future__ import annotations

from collections.abc import Mapping

from clusterlm_jax.data.pretraining import instructions_alone, task_identification, with_task_identities
from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.pretraining import starts
from clusterlm_jax.experiments.pretraining.settings import Pretraining
from clusterlm_jax.experiments.pretraining.starts import INSTRUCTION, STARTS, TASK_ID
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.records import Dataset
from clusterlm_jax.settings import check_data_of
from clusterlm_jax.training.phase import LOSS, Phase, analysed_epochs


def train(config: Pretraining, work: Work) -> None:
    by_seed = load(config, work)
    pretrainings = pretrainings_of(config, by_seed)
    for phase in pretrainings.values():  # before any of them is trained
        check_data_of(phase.spec, phase.datasets)
    check_data_of(config.train, by_seed)
    phases.describe(pretrainings[TASK_ID], work.dir)
    for start in STARTS:
        if start in pretrainings:
            phases.train(pretrainings[start], work)
        phases.train(fine_tuning_of(config, by_seed, start, pretrainings.get(start), work), work)


def analyse(config: Pretraining, work: Work) -> None:
    phases.analyse(pretrainings_of(config, load(config, work))[TASK_ID], work)


def load(config: Pretraining, work: Work) -> dict[int, Dataset]:
    """The datasets by seed, their vocabulary extended by the trigger and the task identities."""
    return {seed: with_task_identities(dataset) for seed, dataset in datasets.load(config, work.dir).items()}


def pretrainings_of(config: Pretraining, by_seed: Mapping[int, Dataset]) -> dict[str, Phase]:
    """The phases before fine-tuning, by start."""
    return {
        TASK_ID: Phase(
            starts.pretraining(TASK_ID),
            _model(config, by_seed),
            config.pretrain,
            {seed: task_identification(dataset) for seed, dataset in by_seed.items()},
            analysed=analysed_epochs(config.pretrain.epochs, config.eval.every),
        ),
        INSTRUCTION: Phase(
            starts.pretraining(INSTRUCTION),
            _model(config, by_seed),
            config.pretrain,
            {seed: instructions_alone(dataset) for seed, dataset in by_seed.items()},
            criterion=LOSS,  # there is no task identity whose accuracy could choose
        ),
    }


def fine_tuning_of(
    config: Pretraining, by_seed: Mapping[int, Dataset], start: str, pretraining: Phase | None, work: Work
) -> Phase:
    """The training whose initial parameters alone differ between the starts; a `pretraining` must have ended."""
    initial = None if pretraining is None else phases.best_params(pretraining, work.dir)
    return Phase(starts.fine_tuning(start), _model(config, by_seed), config.train, by_seed, initial=initial)


def _model(config: Pretraining, by_seed: Mapping[int, Dataset]) -> GPT2:
    return GPT2(config.model, by_seed[config.seeds[0]].vocabulary.size, untied=not config.model.tied)


STAGES = {
    "data": datasets.MAKE,
    "train": Stage(train, ("data",), phases.trained, environment.check_device, timed=False, together=True),
    "analyse": Stage(analyse, needs=("data", "train")),
    "report": report("data", "train"),
}
