"""How a model is trained (paper table 4)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from clusterlm_jax.data.batching import UNITS
from clusterlm_jax.records import FINAL_NORM, UserError, check_bounds

SEED_AXES = ("auto", "vmap", "map")
LOSSES = ("sequence", "output")


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """The values of table 4, and our choice where it gives none.

    Attributes:
      section: the section of the configuration this is, for messages.
    """

    section: ClassVar[str] = "train"
    epochs: int = 200  # passes over the training instances (table 4)
    # Instances of a step; not in the paper. A batch has whole units of `batch_unit`, at most so many instances and at
    # least one unit; `instances_per_step` in run.json is what it has (64 becomes 60 with the paper's five mappings).
    batch_size: int = 32
    # What is drawn into a batch: "instance", or "instruction": an instruction with all its mappings. These share the
    # instruction's symbols in a row, so a step is a fraction of the work.
    batch_unit: str = "instance"
    # Tokens whose cross-entropy is minimised: "sequence" is every next token (the paper's), "output" the output token
    # alone. The metric `training_loss` is the mean over these tokens; the definitions of the other metrics stay.
    loss: str = "sequence"
    learning_rate: float = 1e-4  # of AdamW, annealed to 0 along a cosine over all steps
    weight_decay: float = 0.01  # not in the paper; the default of the usual AdamW
    max_gradient_norm: float = 1.0  # the norm that gradients are clipped to (table 4)
    seed_axis: str = "auto"  # several seeds side by side ("vmap") or in turn ("map"); "auto": in turn on a CPU only
    checkpoint_every: int = 1  # epochs between checkpoints: at most this many are lost when a run is killed

    def __post_init__(self) -> None:
        check_bounds(self.section, self, epochs=(1, 100_000), batch_size=(1, 10_000_000))
        check_bounds(self.section, self, checkpoint_every=(1, 100_000), weight_decay=(0, 1000))
        if self.batch_unit not in UNITS:
            raise UserError(f"{self.section}.batch_unit is {self.batch_unit!r}; allowed: {', '.join(UNITS)}.")
        if self.loss not in LOSSES:
            raise UserError(f"{self.section}.loss is {self.loss!r}; allowed: {', '.join(LOSSES)}.")
        if self.seed_axis not in SEED_AXES:
            raise UserError(f"{self.section}.seed_axis is {self.seed_axis!r}; allowed: {', '.join(SEED_AXES)}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"{self.section}.{name} is {getattr(self, name)}; it must be above 0.")


@dataclasses.dataclass(frozen=True)
class PretrainSpec(TrainSpec):
    """How a model is pre-trained. The paper gives no values of its own for it (4.1), so the defaults are table 4's."""

    section: ClassVar[str] = "pretrain"


@dataclasses.dataclass(frozen=True)
class FinetuneSpec(TrainSpec):
    """How a model is fine-tuned for alignment. The paper gives no epochs and no rate (F.1): defaults as in table 4."""

    section: ClassVar[str] = "finetune"


@dataclasses.dataclass(frozen=True)
class SwitchSpec:
    """How a switch between two language heads is trained (F.1). The paper gives `examples` and `layer` only."""

    examples: tuple[int, ...] = (1, 2, 5)  # instances of each task that is no source task; 1 is the paper's
    layer: str = FINAL_NORM  # the layer whose states the switch reads; "1" is block 1
    steps: int = 500  # of AdamW, each on all examples: enough for both kinds of switch to separate the examples
    learning_rate: float = 1e-2  # of AdamW

    def __post_init__(self) -> None:
        if not self.examples or min(self.examples) < 1 or len(set(self.examples)) < len(self.examples):
            raise UserError(
                f"switch.examples is {self.examples!r}; it must hold one number or more, each once and at least 1."
            )
        check_bounds("switch", self, steps=(1, 1_000_000))
        if not self.learning_rate > 0:
            raise UserError(f"switch.learning_rate is {self.learning_rate}; it must be above 0.")


# The switches of F.1, by the names of their runs: two that learn, and two kinds of centroids that nobody trains.
LINEAR, MLP, MEAN, KMEANS = "linear_switch", "mlp_switch", "mean_switch", "kmeans_switch"
# By the label that the training set has as many values of as KMeans has clusters.
KMEANS_RUNS = {label: f"{KMEANS}/{label}" for label in ("task", "distribution_mapping")}


def variant(kind: str, **choice: int | str) -> str:
    """The run of a switch with so many `examples` of each other task, or on another `layer` than the configured one."""
    ((name, value),) = choice.items()
    return f"{kind}/{name}={value}"
