"""Tiny random checkpoints, made by transformers itself in every format."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from tests.models import parity

FORMATS = ("safetensors", "msgpack", "bin")
SHARD = "20KB"  # several shards of the models below
SIZES = {
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 64,
    },
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": 64, "n_positions": 64},
}


def tiny(architecture: str, **changes):
    """transformers' PyTorch `llama` or `gptj`, with sizes of `SIZES`; no bias or norm is at its initial 0 or 1."""
    torch = pytest.importorskip("torch")
    from transformers import GPTJConfig, GPTJForCausalLM, LlamaConfig, LlamaForCausalLM

    config_class, model_class = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "gptj": (GPTJConfig, GPTJForCausalLM),
    }[architecture]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config_class(**SIZES[architecture] | changes)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def save(model, directory: Path, format: str, sharded: bool = False) -> Path:
    """Saves a PyTorch model in one of `FORMATS`, as transformers does; of version 5 it skips the test for "msgpack"."""
    size = {"max_shard_size": SHARD} if sharded else {}
    if format == "msgpack":
        flax_twin(model, directory / "torch").save_pretrained(directory, **size)
    else:
        model.save_pretrained(directory, **size)
        if format == "bin":
            _rewrite_as_bin(directory)
    return directory


def _rewrite_as_bin(directory: Path) -> None:
    """From safetensors, under the names that transformers 4 gives; version 5 writes no .bin any more."""
    import torch
    from safetensors.torch import load_file

    for path in directory.glob("model*.safetensors"):
        torch.save(load_file(path), directory / f"pytorch_{path.stem}.bin")
        path.unlink()
    for path in directory.glob("model.safetensors.index.json"):
        index = path.read_text().replace('"model-', '"pytorch_model-').replace(".safetensors", ".bin")
        (directory / "pytorch_model.bin.index.json").write_text(index)
        path.unlink()


def flax_twin(model, scratch: Path):
    """transformers' Flax model with the parameters of its PyTorch one, which it leaves in `scratch`."""
    flax_class = parity.flax_class(type(model).__name__)
    model.save_pretrained(scratch)
    with jax.numpy_rank_promotion("allow"):
        return flax_class.from_pretrained(scratch, from_pt=True)
