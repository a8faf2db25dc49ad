"""What each experiment is told: frozen, checked specs, one class for each experiment.

A room declares its own part (`*/spec.py`); here the parts meet and are held against each other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.natural import NaturalSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.training.spec import TrainSpec

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
        if self.data.longest_instruction + 2 > self.model.positions:
            raise UserError(
                f"data.longest_instruction is {self.data.longest_instruction}: with input and output it needs "
                f"{self.data.longest_instruction + 2} positions, but model.positions is {self.model.positions}."
            )
        for key in ("validation_tasks", "validation_instructions_per_distribution"):
            if not getattr(self.data, key):
                raise UserError(f"data.{key} is 0; the best epoch is chosen by validation accuracy, so at least 1.")
        if self.train.batch_size > self.data.most_instances:
            raise UserError(
                f"train.batch_size is {self.train.batch_size}, "
                f"but there are at most {self.data.most_instances} instances."
            )
        if self.eval.every > self.train.epochs:
            raise UserError(f"eval.every is {self.eval.every}, above train.epochs = {self.train.epochs}.")


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


EXPERIMENTS = {kind.experiment: kind for kind in (Emergence, Probing)}
