"""What the main experiment is told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.settings import Settings, check_analysis, check_data, check_training
from clusterlm_jax.training.spec import TrainSpec


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
        check_data(self.data, self.model)
        check_training(self.train, self.data.most_instances)
        check_analysis(self.eval, self.train, self.model, self.data)


SETTINGS = Emergence
