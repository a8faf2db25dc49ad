"""A tokenizer as one lies beside a checkpoint, of whole words, made here: no test downloads anything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

BOS, UNKNOWN = "<s>", "<unk>"


def save(directory: Path, texts: Iterable[str], bos: str | None = BOS) -> int:
    """Writes a tokenizer that knows the words of the texts; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in texts for word in text.split()})
    known = {word: index for index, word in enumerate([UNKNOWN, BOS, *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, bos_token=bos).save_pretrained(directory)
    return len(known)
