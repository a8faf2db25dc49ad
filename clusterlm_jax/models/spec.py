"""The shape of a GPT-2 (paper 3.1, tables 4 and 9)."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.records import UserError, check_bounds

COMPUTE_DTYPES = ("float32", "bfloat16")
MOST_WEIGHTS = 1e11  # with their gradients and AdamW's moments these take 1.6 TB
PAPER_WIDTH = 768  # the one width whose feed-forward network the paper gives: 1024


@dataclasses.dataclass(frozen=True)
class GPT2Spec:
    """Hyperparameters of table 4; the vocabulary follows from the data."""

    layers: int = 6  # blocks (table 4)
    heads: int = 8  # attention heads of each block (table 4); they divide hidden_dim
    hidden_dim: int = 768  # width of the residual stream (table 4); the paper also has 32, 256 and 2048 (table 9)
    ffn_dim: int | None = None  # unset: 1024 at width 768, twice the width elsewhere; this gives table 9's counts
    positions: int = 64  # tokens of the longest instance: instruction, input and output
    dropout: float = 0.2  # of embeddings, attention weights and both residual branches, as in GPT-2
    initial_scale: float = 0.02  # of weights and embeddings: GPT-2's, not in the paper; it matters (docs/results.md)
    tied: bool = True  # the language head is the word embedding, as in GPT-2; False adds vocabulary x width parameters
    compute_dtype: str = "float32"  # of matrix products; parameters, residual stream and norms stay float32

    def __post_init__(self) -> None:
        check_bounds("model", self, layers=(1, 1000), heads=(1, 10_000), hidden_dim=(1, 100_000))
        check_bounds("model", self, positions=(1, 100_000))
        if self.ffn_dim is not None and self.ffn_dim < 1:
            raise UserError(f"model.ffn_dim is {self.ffn_dim}; it must be at least 1, or unset.")
        if self.hidden_dim % self.heads:
            raise UserError(f"model.heads is {self.heads}, which does not divide model.hidden_dim = {self.hidden_dim}.")
        check_bounds("model", self, dropout=(0, 0.99))  # masks have 16 bits: beyond, hardly any value would be kept
        if not self.initial_scale > 0:
            raise UserError(f"model.initial_scale is {self.initial_scale}; it must be above 0.")
        check_bounds("model", self, initial_scale=(0, 10))
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise UserError(f"model.compute_dtype is {self.compute_dtype!r}; allowed: {', '.join(COMPUTE_DTYPES)}.")
        weights = self.layers * self.hidden_dim * (4 * self.hidden_dim + 2 * self.feed_forward_width)
        if weights > MOST_WEIGHTS:
            raise UserError(
                f"model.layers = {self.layers} blocks of model.hidden_dim = {self.hidden_dim} and width "
                f"{self.feed_forward_width} inside have {weights:.2g} weights; at most {MOST_WEIGHTS:.0e}."
            )

    @property
    def feed_forward_width(self) -> int:
        if self.ffn_dim is not None:
            return self.ffn_dim
        return 1024 if self.hidden_dim == PAPER_WIDTH else 2 * self.hidden_dim
