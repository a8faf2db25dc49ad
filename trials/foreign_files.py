"""Files that others make, damaged: weights, configurations and tokenizers of models, hidden states, prompts."""

from __future__ import annotations

import functools
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flax import serialization
from safetensors.numpy import save_file
from transformers import LlamaConfig

from benchmarks.random_llama import as_pytorch_names
from clusterlm_jax.analysis.spec import OwnLabelsSpec
from clusterlm_jax.data.natural import hendel, prompts
from clusterlm_jax.experiments.states import file
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.library import arrange
from clusterlm_jax.models.pretrained import loading
from tests.extraction import tiny_tokenizer
from trials import odd

TEXTS = ("the cat sat", "a dog ran", "the dog sat")
SIZES = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="clusterlm_jax-fuzz-")


@functools.cache
def _checkpoint(weights: str) -> Path:
    """A tiny model in a format; it is there until the process ends."""
    directory = Path(_kept().name) / weights
    vocabulary = tiny_tokenizer.save(directory, TEXTS)
    LlamaConfig(vocab_size=vocabulary, max_position_embeddings=32, **SIZES).save_pretrained(directory)
    params = loading.untrained(loading.describe(directory, "float32"), 0, jax.local_devices())
    named = dict(as_pytorch_names(params))
    if weights == "model.safetensors":
        save_file(named, directory / weights)
    elif weights == "pytorch_model.bin":
        import torch

        torch.save(
            {name: torch.tensor(values.astype(np.float32)) for name, values in named.items()}, directory / weights
        )
    else:
        (directory / weights).write_bytes(serialization.msgpack_serialize(jax.device_get(params)))
    return directory


def of_checkpoint(weights: str, name: str) -> Callable[[random.Random, Path], None]:
    """A case: one file of a model is damaged, and the model and its tokenizer are read."""

    def case(rng: random.Random, folder: Path) -> None:
        there = folder / "model"
        shutil.copytree(_checkpoint(weights), there)
        path = there / name
        damage = odd.damaged_json if path.suffix == ".json" else odd.damaged
        path.write_bytes(damage(path.read_bytes(), rng))
        model = loading.describe(there, "float32")
        if name == weights:
            loading.load(there, model, jax.local_devices())
        Tokenizer(there, True, model.spec.vocabulary, model.spec.positions)(TEXTS)

    return case


@functools.cache
def _states(suffix: str) -> Path:
    rng, path = np.random.default_rng(0), Path(_kept().name) / f"states{suffix}"
    arrays = {
        "hidden": rng.normal(size=(2, 12, 4)).astype(np.float32),
        "task": np.arange(12) % 3,
        "train": np.arange(12) < 6,
    }
    if suffix == ".npz":
        np.savez(path, layers=np.array(["a", "b"]), name=np.array(list("xyz" * 4)), **arrays)
    else:
        save_file(arrays, path, {"layers": json.dumps(["a", "b"]), "task": json.dumps(["x", "y", "z"])})
    return path


def of_states(suffix: str) -> Callable[[random.Random, Path], None]:
    """A case: a file of hidden states."""

    def case(rng: random.Random, folder: Path) -> None:
        path = folder / f"states{suffix}"
        damage = odd.damaged_arrays if suffix == ".npz" else odd.damaged
        path.write_bytes(damage(_states(suffix).read_bytes(), rng))
        arrange(*file.read(path), OwnLabelsSpec(), 0)

    return case


def wordings(rng: random.Random, folder: Path) -> None:
    """A file of wordings of the tasks."""
    given = {stem: [f"{text} {stem}" for text in TEXTS] for stem in prompts.TASKS}
    path = folder / "wordings.json"
    path.write_bytes(odd.damaged_json(json.dumps(given).encode(), rng))
    prompts.read_wordings(path)


def mappings(rng: random.Random, folder: Path) -> None:
    """A file of Hendel et al.'s input-output pairs."""
    path = folder / "pairs.json"
    path.write_bytes(odd.damaged_json(json.dumps({"one": "un", "two": "deux", "dog": "chien"}).encode(), rng))
    hendel.read_pairs(folder, "pairs.json")


CASES: dict[str, Callable[[random.Random, Path], None]] = {
    "weights, safetensors": of_checkpoint("model.safetensors", "model.safetensors"),
    "weights, msgpack": of_checkpoint("flax_model.msgpack", "flax_model.msgpack"),
    "weights, PyTorch's .bin": of_checkpoint("pytorch_model.bin", "pytorch_model.bin"),
    "config.json of a model": of_checkpoint("model.safetensors", "config.json"),
    "tokenizer.json": of_checkpoint("model.safetensors", "tokenizer.json"),
    "tokenizer_config.json": of_checkpoint("model.safetensors", "tokenizer_config.json"),
    "states, .npz": of_states(".npz"),
    "states, .safetensors": of_states(".safetensors"),
    "wordings": wordings,
    "mappings": mappings,
}
