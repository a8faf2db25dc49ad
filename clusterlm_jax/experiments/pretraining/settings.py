"""What the pre-training experiment is told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings, check_analysis, check_data, check_eval, check_training
from clusterlm_jax.training.spec import PretrainSpec, TrainSpec


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
        check_data(self.data, self.model)
        check_training(self.pretrain, self.data.most_instances // self.data.mappings_per_task)
        check_training(self.train, self.data.most_instances)
        check_analysis(self.eval, self.pretrain, self.model, self.data)
        if self.pretrain.loss != "sequence":
            raise UserError(
                f"pretrain.loss is {self.pretrain.loss!r}; instructions learned alone have no output token, "
                "so allowed: sequence."
            )
        check_eval(
            self.eval,
            "states are read at the trigger, before any mapping is seen",
            jobs=("raw", "tsne"),
            labels=("task", "distribution"),
        )


SETTINGS = Pretraining
