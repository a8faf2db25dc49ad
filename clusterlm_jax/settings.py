"""The settings that every experiment has, and the checks of one part of a configuration against another.

A room declares and checks its own keys (`*/spec.py`); an experiment puts these together (`experiments/*/settings.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import SPLITS, Dataset, UserError, check_local
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.training.spec import TrainSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of every experiment. The default of `stages`, in each subclass, holds all stages of the experiment."""

    experiment: str  # which experiment this is; the configuration file sets it
    stages: tuple[str, ...]  # what to do of the experiment, in its order; ("report",) redraws the page alone
    seeds: tuple[int, ...] = (0,)  # data, parameters, dropout and order follow from each; all train in one program
    eval: AnalysisSpec = AnalysisSpec()
    report: ReportSpec = ReportSpec()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_local(f"config.{name}", value)
        allowed = type(self).stages
        if not self.stages or not set(self.stages) <= set(allowed):
            raise UserError(f"config.stages is {self.stages!r}; allowed is one or more of {', '.join(allowed)}.")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"config.seeds is {self.seeds!r}; it must hold one seed or more, each once and at least 0.")

    def as_dict(self) -> dict[str, Any]:
        """What `config.json` says."""
        return dataclasses.asdict(self)


def check_data(data: DataSpec, model: GPT2Spec) -> None:
    """Refuses instances longer than the model's positions, and data without a validation split to select epochs by."""
    if data.longest_instruction + 2 > model.positions:
        raise UserError(
            f"data.longest_instruction is {data.longest_instruction}: with input and output it needs "
            f"{data.longest_instruction + 2} positions, but model.positions is {model.positions}."
        )
    for key in ("validation_tasks", "validation_instructions_per_distribution"):
        if not getattr(data, key):
            raise UserError(f"data.{key} is 0; the best epoch is chosen by validation accuracy, so at least 1.")


def check_training(train: TrainSpec, most_instances: int) -> None:
    """Refuses a batch larger than the dataset can be, or is."""
    if train.batch_size > most_instances:
        raise UserError(
            f"{train.section}.batch_size is {train.batch_size}, but there are at most {most_instances} instances."
        )


def check_sizes(analysis: AnalysisSpec, width: int, read: int, training: int) -> None:
    """Refuses an analysis that takes more points or dimensions than there are, or can be at most.

    Args:
      width: of a hidden state.
      read: instances of the smallest split whose states are read.
      training: instances of the training split, among which neighbours are searched.
    """
    for job, name, most, what in (
        ("tsne", "tsne_perplexity", read - 1, f"instances of a split, at most {read} in all"),
        ("tsne", "tsne_components", min(read, width), f"dimensions, at most {width}, or instances, at most {read}"),
        ("knn", "neighbours", training, f"training instances, at most {training} in all"),
    ):
        if job in analysis.jobs and getattr(analysis, name) > most:
            raise UserError(f"eval.{name} is {getattr(analysis, name)}; there are too few {what}.")


def check_data_of(train: TrainSpec, datasets: Mapping[int, Dataset], analysis: AnalysisSpec | None = None) -> None:
    """Refuses what the data of a training turn out to be too few for; an `analysis` where its states are read."""
    training = min(len(dataset.splits["training"]) for dataset in datasets.values())
    check_training(train, training)
    if analysis is not None:
        sizes = [len(dataset.splits[name]) for dataset in datasets.values() for name in SPLITS]
        check_sizes(analysis, analysis.tsne_components, min(filter(None, sizes)), training)


def check_analysis(analysis: AnalysisSpec, train: TrainSpec, model: GPT2Spec, data: DataSpec) -> None:
    """Refuses an analysis that the training is too short, the model too narrow or the data too small for."""
    if analysis.every > train.epochs:
        raise UserError(f"eval.every is {analysis.every}, above {train.section}.epochs = {train.epochs}.")
    check_sizes(analysis, model.hidden_dim, data.most_validation_instances, data.most_instances)


def check_eval(analysis: AnalysisSpec, reason: str, **allowed: tuple[str, ...]) -> None:
    """Refuses values of `eval.NAME` that make no sense for this experiment's states; `reason` says why."""
    for name, values in allowed.items():
        given = getattr(analysis, name)
        if not set(given) <= set(values):
            raise UserError(f"eval.{name} is {given!r}; {reason}, so allowed: {', '.join(values)}.")
