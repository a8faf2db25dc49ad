"""Packs token ids of unequal lengths into right-padded batches of few shapes, and batches into shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.records import PADDING

# Lengths are padded to multiples of this. The model is compiled once for each length of a batch: without it, that would
# be once for each of the many lengths of the prompts.
BUCKET = 8


@dataclasses.dataclass(frozen=True)
class PromptBatch:
    """Prompts that go through the model together.

    Padding stands after the tokens of a prompt, and rows of padding at the end of a batch. Attention is causal and
    stays in its row, so no prompt sees either.

    Attributes:
      tokens_BT: int32 token ids.
      last_B: int32, the column of the last token of each prompt; 0 in a row of padding.
      instance_N: int, the prompts of the batch; the first N rows hold them.
    """

    tokens_BT: np.ndarray
    last_B: np.ndarray
    instance_N: np.ndarray


def shards_of(ids: Sequence[np.ndarray], spec: ExtractSpec, positions: int) -> list[list[PromptBatch]]:
    """Puts every prompt into one batch, short prompts first.

    Each shard has at least `spec.shard` prompts, except the last one.

    Args:
      ids: the token ids of every prompt, int32 [token].
      positions: the model's number of positions; no batch is longer, and no prompt may be.
    """
    length_N = np.array([len(text_ids) for text_ids in ids])
    padded_N = np.minimum(-(-length_N // BUCKET) * BUCKET, positions)
    shards: list[list[PromptBatch]] = [[]]
    for length in np.unique(padded_N):
        members = np.flatnonzero(padded_N == length)
        # All batches of a length have the same number of rows, so that a length is compiled once.
        rows = min(max(1, spec.batch_tokens // int(length)), len(members))
        for start in range(0, len(members), rows):
            if sum(len(batch.instance_N) for batch in shards[-1]) >= spec.shard:
                shards.append([])
            shards[-1].append(_batch(ids, members[start : start + rows], rows, int(length)))
    return shards


def padding_share(shards: Sequence[Sequence[PromptBatch]]) -> float:
    """Share of the computed positions that hold no token of a prompt."""
    batches = [batch for shard in shards for batch in shard]
    real = sum(int(batch.last_B[: len(batch.instance_N)].sum()) + len(batch.instance_N) for batch in batches)
    return 1 - real / sum(batch.tokens_BT.size for batch in batches)


def _batch(ids: Sequence[np.ndarray], instance_N: np.ndarray, rows: int, length: int) -> PromptBatch:
    return PromptBatch(*padded([ids[instance] for instance in instance_N], rows, length), instance_N)


def padded(ids: Sequence[np.ndarray], rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids as right-padded rows, int32 [B, T], and the column of the last token of each, int32 [B]."""
    tokens_BT = np.full((rows, length), PADDING, np.int32)
    last_B = np.zeros(rows, np.int32)
    for row, text_ids in enumerate(ids):
        tokens_BT[row, : len(text_ids)] = text_ids
        last_B[row] = len(text_ids) - 1
    return tokens_BT, last_B
