"""A checkpoint of a LLaMA made by hand, as `toy` makes a GPT-2: its first block adds up what a prompt's words mean.

A wording is a task's word, repeated. Word embeddings are unit vectors, of tasks and of inputs; the first block averages
what a token sees, the second does nothing, and the head of an answer looks for its task and its input.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from clusterlm_jax.data.natural import shared
from clusterlm_jax.data.natural.prompts import FILE_OF
from clusterlm_jax.data.natural.shared import SharedSpec
from clusterlm_jax.models.pretrained import loading
from clusterlm_jax.models.pretrained.architectures import parameter_shapes
from tests.extraction import tiny_tokenizer

WORDINGS, INPUTS = 4, 9
READ = 2.0  # how much the first block adds


def write(directory: Path) -> SharedSpec:
    """Writes the checkpoint; returns which prompts it can answer."""
    directory.mkdir()
    wordings = {stem: [" ".join([stem] * times) for times in range(3, 3 + WORDINGS)] for stem in FILE_OF}
    (directory / "wordings.json").write_text(json.dumps(wordings))
    spec = SharedSpec(wordings=str(directory / "wordings.json"), wordings_per_task=WORDINGS, held_out=2, inputs=INPUTS)
    prompts = shared.compose(spec, seed=0)
    vocabulary = tiny_tokenizer.save(directory, [*prompts.texts, *prompts.names["output"]])
    known = json.loads((directory / "tokenizer.json").read_text())["model"]["vocab"]
    units = {unit: place for place, unit in enumerate((*FILE_OF, *prompts.names["input"]))}
    width = len(units) + len(units) % 2
    sizes = {"vocab_size": vocabulary, "hidden_size": width, "intermediate_size": 4, "num_hidden_layers": 2}
    config = sizes | {"num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 32}
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    params = {
        path: np.full(leaf.shape, path.endswith("norm/weight") or "layernorm" in path, np.float32)
        for path, leaf in flatten_dict(parameter_shapes(loading.describe(directory, "float32", True)), sep="/").items()
    }
    unit = np.eye(width, dtype=np.float32)
    for word in known.keys() & units.keys():  # a task that takes none of the inputs has no word
        params["model/embed_tokens/embedding"][known[word]] = unit[units[word]]
    params["model/layers/0/self_attn/v_proj/kernel"][:] = unit  # queries and keys of 0 average
    params["model/layers/0/self_attn/o_proj/kernel"][:] = unit * READ * width**-0.5
    for text, output in zip(prompts.texts, prompts.labels["output"], strict=True):
        task, *_, word = text.split()
        params["lm_head/kernel"][[units[task], units[word]], known[prompts.names["output"][output]]] = 1
    save_file({path.replace("/", "."): values for path, values in params.items()}, directory / "model.safetensors")
    return spec
