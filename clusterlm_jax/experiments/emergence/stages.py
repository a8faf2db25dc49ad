"""What the main experiment does:

    data -> train -> analyse -> report

Training is a generator of epochs. What it yields is put on disk, and its cells are handed to the evaluator, whose
worker processes score them while training goes on. Any stage may be killed; the same command resumes.
"""

from __future__ import annotations

from clusterlm_jax.experiments import datasets, environment, phases
from clusterlm_jax.experiments.emergence.settings import Emergence
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.training.phase import Phase, analysed_epochs


def train(config: Emergence, work: Work) -> None:
    phase = the_phase(config, work)
    phases.describe(phase, work.dir)
    phases.train(phase, work)


def analyse(config: Emergence, work: Work) -> None:
    phases.analyse(the_phase(config, work), work)


def the_phase(config: Emergence, work: Work) -> Phase:
    """The one training of this experiment."""
    by_seed = datasets.load(config, work.dir)
    model = GPT2(config.model, by_seed[config.seeds[0]].vocabulary.size, untied=not config.model.tied)
    analysed = analysed_epochs(config.train.epochs, config.eval.every)
    return Phase("main", model, config.train, by_seed, analysed)


STAGES = {
    "data": datasets.MAKE,
    "train": Stage(train, ("data",), phases.trained, environment.check_device, timed=False, together=True),
    "analyse": Stage(analyse, needs=("data", "train")),
    "report": report("data", "train"),
}
