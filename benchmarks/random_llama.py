"""Writes a LLaMA with random weights and a tokenizer, to try the probing job without a real model.

    .venv/bin/python -m benchmarks.random_llama DIRECTORY [WIDTH BLOCKS]

By default it has about 109 million parameters (width 768, 12 blocks). Its scores in

    .venv/bin/python -m clusterlm_jax.main --config=configs/probing.py --config.checkpoint=DIRECTORY --workdir=DIR

are a null baseline of table 1: what the prompts and the architecture give without training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, PreTrainedTokenizerFast

from clusterlm_jax.data.natural.prompts import NaturalSpec, compose
from clusterlm_jax.models.pretrained import loading as pretrained

VOCABULARY = 32_000
BOS = "<s>"


def write(directory: Path, width: int = 768, blocks: int = 12) -> None:
    """Writes config.json, a tokenizer trained on the prompts, and model.safetensors in bfloat16."""
    directory.mkdir(parents=True)
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=blocks,
        num_attention_heads=width // 64,
    ).save_pretrained(directory)
    tokenizer = ByteLevelBPETokenizer()
    texts = compose(NaturalSpec(), seed=0).texts
    tokenizer.train_from_iterator(texts, VOCABULARY, special_tokens=[BOS], show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, bos_token=BOS).save_pretrained(directory)
    params = pretrained.untrained(pretrained.describe(directory, "bfloat16"), 0, jax.local_devices())
    save_file(dict(_as_pytorch_names(params)), directory / "model.safetensors")


def _as_pytorch_names(params: dict):
    for path, leaf in flatten_dict(params, sep=".").items():
        parents, _, kind = path.rpartition(".")
        values = np.asarray(leaf)
        yield f"{parents}.weight", np.ascontiguousarray(values.T) if kind == "kernel" else values


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
    print(f"A random LLaMA is in {sys.argv[1]}")
