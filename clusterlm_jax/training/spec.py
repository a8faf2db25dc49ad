"""How a model is trained (paper table 4)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from clusterlm_jax.data.batching import UNITS
from clusterlm_jax.records import FINAL_NORM, UserError

SEED_AXES = ("auto", "vmap", "map")
LOSSES = ("sequence", "output")


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Table 4, and what it leaves open.

    Attributes:
      section: of the configuration, as it is named to a person.
    """

    section: ClassVar[str] = "train"
    epochs: int = 200
    batch_size: int = 32  # instances; not in the paper
    batch_unit: str = "instance"  # or "instruction": each drawn with all its mappings, for a fraction of the work
    # Tokens whose cross-entropy is brought down: "sequence" is every next token (the paper's), "output" is the output
    # token alone. The metric `training_loss` is the mean over the same tokens; the other metrics do not change.
    loss: str = "sequence"
    learning_rate: float = 1e-4  # of AdamW, annealed to 0 along a cosine over all steps
    weight_decay: float = 0.01  # not in the paper; the default of the usual AdamW
    max_gradient_norm: float = 1.0
    steps_per_dispatch: int = 64  # steps the device takes between two words with the host
    seed_axis: str = "auto"  # several seeds side by side ("vmap") or in turn ("map"); auto: in turn on a CPU only
    checkpoint_every: int = 1  # epochs between checkpoints: what a killed run can lose

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "steps_per_dispatch", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{self.section}.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.batch_unit not in UNITS:
            raise UserError(f"{self.section}.batch_unit is {self.batch_unit!r}; allowed: {', '.join(UNITS)}.")
        if self.loss not in LOSSES:
            raise UserError(f"{self.section}.loss is {self.loss!r}; allowed: {', '.join(LOSSES)}.")
        if self.seed_axis not in SEED_AXES:
            raise UserError(f"{self.section}.seed_axis is {self.seed_axis!r}; allowed: {', '.join(SEED_AXES)}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"{self.section}.{name} is {getattr(self, name)}; it must be above 0.")
        if not self.weight_decay >= 0:
            raise UserError(f"{self.section}.weight_decay is {self.weight_decay}; it must be at least 0.")


@dataclasses.dataclass(frozen=True)
class PretrainSpec(TrainSpec):
    """How a model is pre-trained; the paper gives nothing of its own (4.1)."""

    section: ClassVar[str] = "pretrain"


@dataclasses.dataclass(frozen=True)
class FinetuneSpec(TrainSpec):
    """How a model is aligned; the paper gives neither epochs nor a rate (F.1), so the defaults are table 4's."""

    section: ClassVar[str] = "finetune"


@dataclasses.dataclass(frozen=True)
class SwitchSpec:
    """How a switch between two language heads is trained (F.1); the paper gives the examples and the layer."""

    examples: tuple[int, ...] = (1, 2, 5)  # of each other task; the first is the paper's, the others are ours
    layer: str = FINAL_NORM  # whose states it reads: "1" is block 1
    steps: int = 500  # of AdamW, each on all examples: enough to tell these apart, with either kind of switch
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        if not self.examples or min(self.examples) < 1 or len(set(self.examples)) < len(self.examples):
            raise UserError(
                f"switch.examples is {self.examples!r}; it must hold one number or more, each once and at least 1."
            )
        if self.steps < 1:
            raise UserError(f"switch.steps is {self.steps}; it must be at least 1.")
        if not self.learning_rate > 0:
            raise UserError(f"switch.learning_rate is {self.learning_rate}; it must be above 0.")
