"""What each experiment is told: frozen, checked specs, one class for each experiment.

A room declares its own part (`*/spec.py`); here the parts meet and are held against each other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.natural.prompts import NaturalSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError, layer_names
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.training.spec import FinetuneSpec, PretrainSpec, SwitchSpec, TrainSpec

PAPER_LABELS = ("task", "distribution", "distribution_mapping")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What all experiments have; the stages a class has by default are all it has."""

    experiment: str
    stages: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    eval: AnalysisSpec = AnalysisSpec()
    report: ReportSpec = ReportSpec()

    def __post_init__(self) -> None:
        allowed = type(self).stages
        if not self.stages or not set(self.stages) <= set(allowed):
            raise UserError(f"config.stages is {self.stages!r}; allowed is one or more of {', '.join(allowed)}.")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"config.seeds is {self.seeds!r}; it must hold one seed or more, each once and at least 0.")

    def as_dict(self) -> dict[str, Any]:
        """As it goes into `config.json`."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emergence(Settings):
    """The main experiment: on what data, with which model, how trained and analysed."""

    experiment: str = "emergence"
    stages: tuple[str, ...] = ("data", "train", "analyse", "report")
    data: DataSpec = DataSpec()
    model: GPT2Spec = GPT2Spec()
    train: TrainSpec = TrainSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_data(self.data, self.model)
        _check_training(self.train, self.data.most_instances)
        _check_every(self.eval, self.train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining(Settings):
    """Three starts for the same fine-tuning: pre-trained on task identities, on instructions, or not (paper 4.1)."""

    experiment: str = "pretraining"
    stages: tuple[str, ...] = ("data", "train", "analyse", "report")
    seeds: tuple[int, ...] = (0, 1, 2)
    data: DataSpec = DataSpec()
    model: GPT2Spec = GPT2Spec(hidden_dim=256)
    pretrain: PretrainSpec = PretrainSpec()
    train: TrainSpec = TrainSpec()
    eval: AnalysisSpec = AnalysisSpec(labels=("task", "distribution"), jobs=("raw", "tsne"))

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_data(self.data, self.model)
        _check_training(self.pretrain, self.data.most_instances // self.data.mappings_per_task)
        _check_training(self.train, self.data.most_instances)
        _check_every(self.eval, self.pretrain)
        if self.pretrain.loss != "sequence":
            raise UserError(
                f"pretrain.loss is {self.pretrain.loss!r}; instructions learned alone have no output token, "
                "so allowed: sequence."
            )
        for name, allowed in (("jobs", ("raw", "tsne")), ("labels", ("task", "distribution"))):
            given = getattr(self.eval, name)
            if not set(given) <= set(allowed):
                raise UserError(
                    f"eval.{name} is {given!r}; states are read at the trigger, before any mapping is seen, so "
                    f"allowed: {', '.join(allowed)}."
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment(Settings):
    """Alignment with less forgetting: a model trained like the main one, then changed in four ways (paper F.1).

    Attributes:
      train: of the base model.
      finetune: of the whole model, and of its head alone, on source tasks with the outputs of their targets.
    """

    experiment: str = "alignment"
    stages: tuple[str, ...] = ("data", "train", "align", "report")
    seeds: tuple[int, ...] = (0, 1, 2)
    data: DataSpec = DataSpec(hard_tasks=0, source_target_pairs=3, task_vocabulary_size=65)
    model: GPT2Spec = GPT2Spec()
    train: TrainSpec = TrainSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    switch: SwitchSpec = SwitchSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_data(self.data, self.model)
        _check_training(self.train, self.data.most_instances)
        if not self.model.tied:
            raise UserError(
                "model.tied is False; alignment gives the trained model a copy of its tied head, so allowed: True."
            )
        if not 0 < self.data.source_target_pairs < self.data.validation_tasks:
            raise UserError(
                f"data.source_target_pairs is {self.data.source_target_pairs}; it must be at least 1 and below "
                f"data.validation_tasks = {self.data.validation_tasks}, so that there are others to forget."
            )
        _check_training(
            self.finetune, self.data.most_instances // self.data.number_of_tasks * self.data.source_target_pairs
        )
        if self.switch.layer not in (allowed := layer_names(self.model.layers)):
            raise UserError(f"switch.layer is {self.switch.layer!r}; allowed: {', '.join(allowed)}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probing(Settings):
    """Natural instructions and a pretrained model (paper 3.4).

    Attributes:
      checkpoint: a directory, or a name on the Hugging Face hub, such as `EleutherAI/gpt-j-6b`.
    """

    experiment: str = "probing"
    stages: tuple[str, ...] = ("data", "extract", "analyse", "report")
    checkpoint: str = ""
    data: NaturalSpec = NaturalSpec()
    extract: ExtractSpec = ExtractSpec()
    eval: AnalysisSpec = AnalysisSpec(labels=PAPER_LABELS, jobs=("raw", "tsne"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seeds) > 1:
            raise UserError(f"config.seeds is {self.seeds!r}; a pretrained model is probed with one seed.")
        for name, allowed in (("jobs", ("raw", "tsne")), ("labels", PAPER_LABELS)):
            given = getattr(self.eval, name)
            if not set(given) <= set(allowed):
                raise UserError(f"eval.{name} is {given!r}; nothing is trained here, so allowed: {', '.join(allowed)}.")


def _check_data(data: DataSpec, model: GPT2Spec) -> None:
    """Refuses data that the model has no place for, or that leaves nothing to choose the best epoch by."""
    if data.longest_instruction + 2 > model.positions:
        raise UserError(
            f"data.longest_instruction is {data.longest_instruction}: with input and output it needs "
            f"{data.longest_instruction + 2} positions, but model.positions is {model.positions}."
        )
    for key in ("validation_tasks", "validation_instructions_per_distribution"):
        if not getattr(data, key):
            raise UserError(f"data.{key} is 0; the best epoch is chosen by validation accuracy, so at least 1.")


def _check_training(train: TrainSpec, most_instances: int) -> None:
    if train.batch_size > most_instances:
        raise UserError(
            f"{train.section}.batch_size is {train.batch_size}, but there are at most {most_instances} instances."
        )


def _check_every(analysis: AnalysisSpec, train: TrainSpec) -> None:
    if analysis.every > train.epochs:
        raise UserError(f"eval.every is {analysis.every}, above {train.section}.epochs = {train.epochs}.")


EXPERIMENTS = {kind.experiment: kind for kind in (Emergence, Pretraining, Alignment, Probing)}
