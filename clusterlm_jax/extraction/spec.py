"""How a pretrained model is read (paper 3.4)."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.models.spec import COMPUTE_DTYPES
from clusterlm_jax.records import UserError


@dataclasses.dataclass(frozen=True)
class ExtractSpec:
    """What the paper leaves open: precision, and how much goes through the model and onto the disk at a time."""

    compute_dtype: str = "bfloat16"  # of weights and of the operands of products; sums and states are float32
    batch_tokens: int = 4096  # that go through the model together, padding included
    bucket: int = 8  # lengths are padded to multiples of it; each length is compiled once
    shard: int = 512  # prompts, at least, whose states are written together; a stopped run goes on behind them
    fast_tokenizer: bool = True  # the converted fast tokenizer of OpenLLaMA is wrong: False for it
    random_weights: bool = False  # a null baseline: the architecture alone, no weights are read

    def __post_init__(self) -> None:
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise UserError(f"extract.compute_dtype is {self.compute_dtype!r}; allowed: {', '.join(COMPUTE_DTYPES)}.")
        for name in ("batch_tokens", "bucket", "shard"):
            if getattr(self, name) < 1:
                raise UserError(f"extract.{name} is {getattr(self, name)}; it must be at least 1.")
