"""Texts -> token ids, with the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clusterlm_jax.records import UserError


class Tokenizer:
    """The tokenizer beside a checkpoint; its prompts begin with the beginning-of-sequence token (SPEC 4).

    Args:
      directory: of the checkpoint.
      fast: whether to prefer the fast implementation.
      vocabulary: of the model; a larger id is refused.
      positions: of the model; a longer prompt is refused.

    Raises:
      UserError: if it cannot be read, or has no beginning-of-sequence token.
    """

    def __init__(self, directory: Path, fast: bool, vocabulary: int, positions: int) -> None:
        from transformers import AutoTokenizer  # slow to import, and only probing needs it

        self._directory, self._vocabulary, self._positions = directory, vocabulary, positions
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(directory, use_fast=fast, local_files_only=True)
        except Exception as error:  # whatever the libraries below raise for a damaged or missing file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"The tokenizer in {directory} cannot be read ({reason.rstrip('.')}): it needs the checkpoint's "
                f"tokenizer files, and extract.fast_tokenizer (now {fast}) must suit them."
            ) from error
        if self._tokenizer.bos_token_id is None:
            raise UserError(
                f"The tokenizer in {directory} has no beginning-of-sequence token, which every prompt begins with: "
                "name one as bos_token in its tokenizer_config.json."
            )

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of every text, int32 [token], the beginning-of-sequence token first.

        Raises:
          UserError: if they do not suit the model.
        """
        given = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ids = [np.array([self._tokenizer.bos_token_id, *text_ids], np.int32) for text_ids in given]
        largest, longest = max(int(text_ids.max()) for text_ids in ids), max(map(len, ids))
        if min(map(len, given)) == 0:
            raise UserError(f"The tokenizer in {self._directory} makes no token of {texts[given.index([])]!r}.")
        if largest >= self._vocabulary:
            raise UserError(
                f"The tokenizer in {self._directory} is not this model's: it gives the token {largest}, "
                f"but the model's vocabulary has {self._vocabulary}."
            )
        if longest > self._positions:
            raise UserError(f"The longest prompt has {longest} tokens, but the model takes {self._positions}.")
        return ids
