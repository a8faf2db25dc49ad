"""What the causal tests are told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.data.natural.shared import SharedSpec
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Causal(Settings):
    """Causal tests on all layers and all seeds of a main run, or of a pretrained model.

    Of `eval`, only how KMeans is done is read; `data` and `extract` are a pretrained model's, whose states are kept in
    memory and not in shards.
    """

    experiment: str = "causal"
    stages: tuple[str, ...] = ("test", "report")
    run: str = ""  # the work directory of a finished main run; it is read and never written
    checkpoint: str = ""  # or a pretrained LLaMA or GPT-J: a directory, or a name on the Hugging Face hub
    data: SharedSpec = SharedSpec()
    extract: ExtractSpec = ExtractSpec()
    pairs: int = 1000  # of instances that are swapped and moved, at most; of more, so many are drawn
    donors: int = 1  # an instance is paired with so many instances of each other task that has its input symbol
    strengths: tuple[float, ...] = (1.0, 2.0, 4.0)  # how often a direction is added to a state
    ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)  # how many directions are removed; of a space with fewer, all
    symbols: tuple[int, ...] = (1, 2, 4, 8, 16, 64)  # how many of an instruction's last symbols are swapped, or all
    draws: int = 3  # of random directions and random spaces, the null baselines

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seeds) > 1:
            raise UserError(
                f"config.seeds is {self.seeds!r}; it must be one seed, of what is drawn here: all seeds of the run are "
                "tested."
            )
        if self.run and self.checkpoint:
            raise UserError(
                f"config.run is {self.run!r} and config.checkpoint is {self.checkpoint!r}; one of them must be empty."
            )
        for name in ("pairs", "donors", "draws"):
            if getattr(self, name) < 1:
                raise UserError(f"config.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("strengths", "ranks", "symbols"):
            given = getattr(self, name)
            if not given or min(given) <= 0 or list(given) != sorted(set(given)):
                raise UserError(f"config.{name} is {given!r}; it must hold ascending numbers above 0.")


SETTINGS = Causal
