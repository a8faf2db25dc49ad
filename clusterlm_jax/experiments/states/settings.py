"""What the experiment on a file of hidden states is told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.analysis.spec import OwnLabelsSpec
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class States(Settings):
    """Hidden states of one's own."""

    experiment: str = "states"
    stages: tuple[str, ...] = ("read", "analyse", "report")
    states: str = ""  # the file, .npz or .safetensors (experiments/states/file.py says what is in it)
    eval: OwnLabelsSpec = OwnLabelsSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seeds) > 1:
            raise UserError(f"config.seeds is {self.seeds!r}; the states of a file are analysed with one seed.")


SETTINGS = States
