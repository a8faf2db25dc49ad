"""Writes a LLaMA with random weights and a tokenizer, to try the probing job without a real model.

    .venv/bin/python -m benchmarks.random_llama DIRECTORY [WIDTH] [BLOCKS]

By default it has about 109 million parameters (width 768, 12 blocks). Its scores in

    .venv/bin/python -m clusterlm_jax.main --config=configs/probing.py --config.checkpoint=DIRECTORY --workdir=DIR

are a null baseline of table 1: what the prompts and the architecture give without training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, PreTrainedTokenizerFast

from benchmarks import command_line
from benchmarks.command_line import whole
from clusterlm_jax.data.natural.prompts import NaturalSpec, compose
from clusterlm_jax.models.pretrained import loading as pretrained
from clusterlm_jax.records import UserError

VOCABULARY = 32_000
BOS = "<s>"
HEAD = 64  # the width of a head


def write(directory: Path, width: int, blocks: int) -> None:
    """Writes config.json, a tokenizer trained on the prompts, and model.safetensors in bfloat16.

    Raises:
      UserError: the directory exists or cannot be made, or the heads do not fill the width.
    """
    make_place(directory, width)
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=blocks,
        num_attention_heads=width // HEAD,
    ).save_pretrained(directory)
    write_tokenizer(directory, compose(NaturalSpec(), seed=0).texts)
    params = pretrained.untrained(pretrained.describe(directory, "bfloat16", head=True), 0, jax.local_devices())
    save_file(dict(as_pytorch_names(params)), directory / "model.safetensors")
    print(f"A random LLaMA is in {directory}")


def make_place(directory: Path, width: int) -> None:
    """Makes the directory of a checkpoint of this width.

    Raises:
      UserError: it exists or cannot be made, or the heads do not fill the width.
    """
    if width % HEAD:
        raise UserError(f"WIDTH is {width}; it must be a multiple of {HEAD}, the width of a head.")
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"DIRECTORY is {directory}; it must be a new directory ({error.strerror}).") from error


def write_tokenizer(directory: Path, texts: Sequence[str]) -> int:
    """Writes a tokenizer trained on the texts, of `VOCABULARY` tokens at most; returns how many it has."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, VOCABULARY, special_tokens=[BOS], show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, bos_token=BOS).save_pretrained(directory)
    return tokenizer.get_vocab_size()


def as_pytorch_names(params: dict) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in flatten_dict(params, sep=".").items():
        parents, _, kind = path.rpartition(".")
        values = np.asarray(leaf)
        yield f"{parents}.weight", np.ascontiguousarray(values.T) if kind == "kernel" else values


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("random_llama", __doc__)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="a new one")
    parser.add_argument(
        "width", nargs="?", type=whole, default=768, metavar="WIDTH", help=f"of the model, a multiple of {HEAD}"
    )
    parser.add_argument("blocks", nargs="?", type=whole, default=12, metavar="BLOCKS", help="how many it has")
    command_line.run(write, parser, arguments)


if __name__ == "__main__":
    main()
