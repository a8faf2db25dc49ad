"""How a model is trained (paper table 4)."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.data.batching import UNITS
from clusterlm_jax.records import UserError

SEED_AXES = ("auto", "vmap", "map")


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Table 4, and what it leaves open."""

    epochs: int = 200
    batch_size: int = 32  # instances; not in the paper
    batch_unit: str = "instance"  # or "instruction": each drawn with all its mappings, for a fraction of the work
    learning_rate: float = 1e-4  # of AdamW, annealed to 0 along a cosine over all steps
    weight_decay: float = 0.01  # not in the paper; the default of the usual AdamW
    max_gradient_norm: float = 1.0
    steps_per_dispatch: int = 64  # steps the device takes between two words with the host
    seed_axis: str = "auto"  # several seeds side by side ("vmap") or in turn ("map"); auto: in turn on a CPU only
    checkpoint_every: int = 1  # epochs between checkpoints: what a killed run can lose

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "steps_per_dispatch", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.batch_unit not in UNITS:
            raise UserError(f"train.batch_unit is {self.batch_unit!r}; allowed: {', '.join(UNITS)}.")
        if self.seed_axis not in SEED_AXES:
            raise UserError(f"train.seed_axis is {self.seed_axis!r}; allowed: {', '.join(SEED_AXES)}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"train.{name} is {getattr(self, name)}; it must be above 0.")
        if not self.weight_decay >= 0:
            raise UserError(f"train.weight_decay is {self.weight_decay}; it must be at least 0.")
