"""Turns texts into token ids, with the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clusterlm_jax.extraction.batches import padded
from clusterlm_jax.models.pretrained.loading import reason_of
from clusterlm_jax.records import UserError


class Tokenizer:
    """The tokenizer in a checkpoint's directory. Every prompt begins with the beginning-of-sequence token.

    Args:
      directory: the directory of the checkpoint.
      fast: whether to prefer the fast implementation; otherwise sentencepiece itself reads a sentencepiece model.
      vocabulary: the model's number of tokens; a larger id is refused.
      positions: the model's number of positions; a longer prompt is refused.

    Raises:
      UserError: the tokenizer cannot be read, or has no beginning-of-sequence token.
    """

    def __init__(self, directory: Path, fast: bool, vocabulary: int, positions: int) -> None:
        from transformers import AutoTokenizer  # slow to import, and only probing needs it

        self._directory, self._vocabulary, self._positions = directory, vocabulary, positions
        try:
            # Unless refused, transformers asks at the terminal whether to run code that the checkpoint brings.
            self._tokenizer = AutoTokenizer.from_pretrained(
                directory, use_fast=fast, local_files_only=True, trust_remote_code=False
            )
            self._encode = self._unconverted() if self._tokenizer.is_fast and not fast else self._transformers
        except Exception as error:  # for a damaged or missing file, the libraries raise exceptions of many classes
            raise UserError(
                f"The tokenizer in {directory} cannot be read ({reason_of(error)}): it needs the checkpoint's "
                f"tokenizer files, and extract.fast_tokenizer (now {fast}) must suit them."
            ) from error
        if self._tokenizer.bos_token_id is None:
            raise UserError(
                f"The tokenizer in {directory} has no beginning-of-sequence token, but every prompt begins with it: "
                "name one as bos_token in its tokenizer_config.json."
            )

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of every text, int32 [token], the beginning-of-sequence token first.

        Raises:
          UserError: a text has no token, or the ids do not fit the model.
        """
        try:
            given = self._encode(list(texts))
        except Exception as error:  # a setting of the wrong type is met only when it is used
            raise UserError(f"The tokenizer in {self._directory} cannot be used ({reason_of(error)}).") from error
        # We put the token in front ourselves: some tokenizers add it unasked, others do not.
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

    def padded(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of every text as a right-padded row, int32 [B, T], and the column of its last token, int32 [B]."""
        ids = self(texts)
        return padded(ids, len(ids), max(map(len, ids)))

    def _transformers(self, texts: list[str]) -> list[list[int]]:
        return self._tokenizer(texts, add_special_tokens=False)["input_ids"]

    def _unconverted(self) -> Callable[[list[str]], list[list[int]]]:
        """The encoder to use when transformers 5 gives a fast tokenizer although a slow one was asked for.

        Version 5 converts a sentencepiece model, but leaves out its normalisation: "?" and double spaces get other ids
        than the model was trained with. Version 4 has a slow tokenizer, whose ids are those of sentencepiece.
        """
        model = self._directory / "tokenizer.model"
        if not model.is_file():
            return self._transformers
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(model)).encode
