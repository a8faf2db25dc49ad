"""What the alignment experiment is told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError, layer_names
from clusterlm_jax.settings import Settings, check_data, check_training
from clusterlm_jax.training.spec import FinetuneSpec, SwitchSpec, TrainSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment(Settings):
    """Alignment with less forgetting: a model trained like the main one, then changed in four ways (paper F.1)."""

    experiment: str = "alignment"
    stages: tuple[str, ...] = ("data", "train", "align", "report")
    seeds: tuple[int, ...] = (0, 1, 2)
    data: DataSpec = DataSpec(hard_tasks=0, source_target_pairs=3, task_vocabulary_size=65)
    model: GPT2Spec = GPT2Spec()
    train: TrainSpec = TrainSpec()  # of the base model
    finetune: FinetuneSpec = FinetuneSpec()  # of the whole model, and of its head alone
    switch: SwitchSpec = SwitchSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_data(self.data, self.model)
        check_training(self.train, self.data.most_instances)
        if not self.model.tied:
            raise UserError(
                "model.tied is False; alignment gives the trained model a copy of its tied head, so allowed: True."
            )
        if not 0 < self.data.source_target_pairs < self.data.validation_tasks:
            raise UserError(
                f"data.source_target_pairs is {self.data.source_target_pairs}; it must be at least 1 and below "
                f"data.validation_tasks = {self.data.validation_tasks}, so that there are others to forget."
            )
        check_training(
            self.finetune, self.data.most_instances // self.data.number_of_tasks * self.data.source_target_pairs
        )
        if self.switch.layer not in (allowed := layer_names(self.model.layers)):
            raise UserError(f"switch.layer is {self.switch.layer!r}; allowed: {', '.join(allowed)}.")


SETTINGS = Alignment
