"""How a pretrained model is read (paper 3.4)."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.models.spec import COMPUTE_DTYPES
from clusterlm_jax.records import UserError, check_bounds


@dataclasses.dataclass(frozen=True)
class ExtractSpec:
    """What the paper leaves open: the precision, and how much the model reads and the disk receives at a time."""

    compute_dtype: str = "bfloat16"  # of weights and of the operands of products; sums and states are float32
    batch_tokens: int = 4096  # tokens of a batch, padding included: what the device's memory must hold at once
    # Least number of prompts whose states are written together: this bounds the memory of the host. A run that was
    # stopped resumes after the last complete shard.
    shard: int = 512
    fast_tokenizer: bool = True  # set False for OpenLLaMA, whose converted fast tokenizer gives wrong ids
    random_weights: bool = False  # a null baseline: the architecture with random weights; no weights are read

    def __post_init__(self) -> None:
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise UserError(f"extract.compute_dtype is {self.compute_dtype!r}; allowed: {', '.join(COMPUTE_DTYPES)}.")
        check_bounds("extract", self, batch_tokens=(1, 100_000_000), shard=(1, 10_000_000))
