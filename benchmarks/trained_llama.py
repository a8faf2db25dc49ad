"""Trains a small LLaMA on the 16 natural tasks, to try the causal tests without a real model.

    .venv/bin/python -m benchmarks.trained_llama DIRECTORY [WIDTH] [BLOCKS] [STEPS]
    .venv/bin/python -m clusterlm_jax.main --config=configs/causal.py:pretrained --config.checkpoint=DIRECTORY

It learns to answer every word of `data/natural/shared_inputs.json` in all wordings but those that the second command
holds out (with its default `config.data` and seed 0). The accuracy on these is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import optax
from safetensors.numpy import save_file
from tqdm import tqdm
from transformers import LlamaConfig

from benchmarks import command_line
from benchmarks.command_line import whole
from benchmarks.random_llama import HEAD, as_pytorch_names, make_place, write_tokenizer
from clusterlm_jax.data.batching import reading_batches
from clusterlm_jax.data.natural.shared import SharedSpec, compose
from clusterlm_jax.extraction.instances import instances_of
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.models.pretrained import loading
from clusterlm_jax.records import Batch, Instances
from clusterlm_jax.training.patching import Trials, answers

EVERY_WORDING = 55
ROWS = 32  # of a batch; each has a wording and all its words
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.1
GAIN = 4.0  # random matrices of .02 suit a width of thousands


def write(directory: Path, width: int, blocks: int, steps: int) -> None:
    """Writes config.json, a tokenizer and model.safetensors in float32.

    Raises:
      UserError: the directory exists or cannot be made, or the heads do not fill the width.
    """
    make_place(directory, width)
    every, asked = compose(SharedSpec(wordings_per_task=EVERY_WORDING), 0), compose(SharedSpec(), 0)
    vocabulary = write_tokenizer(directory, [*every.texts, *(f" {output}" for output in every.names["output"])])
    sizes = {"hidden_size": width, "intermediate_size": 8 * width // 3, "num_attention_heads": width // HEAD}
    LlamaConfig(vocab_size=vocabulary, num_hidden_layers=blocks, **sizes).save_pretrained(directory)
    model = loading.describe(directory, "float32", head=True)
    tokenizer = Tokenizer(directory, True, vocabulary, model.spec.positions)
    tested = instances_of(asked, tokenizer, SharedSpec(), 0)
    held_out = {asked.names["instruction"][n] for n in asked.labels["instruction"][tested.splits["validation"]]}
    wording_N = np.array(every.names["instruction"])[every.labels["instruction"]]
    learned = np.flatnonzero(~np.isin(wording_N, list(held_out)))
    params = train(model, instances_of(every, tokenizer, SharedSpec(), 0), learned, steps)
    index_N = tested.splits["validation"]
    nothing = Trials(index_N, np.full(len(index_N), -1), lambda n: np.zeros((len(n), 1, width), np.float32))
    right = answers(model, params, tested, nothing) == tested.labels["output"][index_N]
    save_file(dict(as_pytorch_names(params)), directory / "model.safetensors")
    print(f"A LLaMA that answers {right.mean():.2f} of the wordings held out is in {directory}")


def train(model: nn.Module, instances: Instances, index: np.ndarray, steps: int) -> dict:
    """Parameters that answer these instances: Adam, a cosine rate, cross-entropy of the answer's first token."""
    drawn = loading.untrained(model, 0, jax.devices())
    params = jax.tree.map(lambda leaf: leaf * (GAIN if leaf.ndim == 2 else 1), drawn)
    optimiser = optax.adamw(optax.warmup_cosine_decay_schedule(0, LEARNING_RATE, 50, steps), weight_decay=WEIGHT_DECAY)
    batches, _ = reading_batches(instances, index, ROWS)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: dict, state: optax.OptState, batch: Batch) -> tuple[dict, optax.OptState, jax.Array]:
        def loss_of(params: dict) -> jax.Array:
            logits_NV = model.apply({"params": params}, batch, method="at_inputs")
            loss_N = optax.softmax_cross_entropy_with_integer_labels(logits_NV, batch.output_N)
            return (loss_N * (batch.row_N >= 0)).sum() / (batch.row_N >= 0).sum()

        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    state, rng = optimiser.init(params), np.random.default_rng(0)
    with tqdm(total=steps, unit="step", desc="train", dynamic_ncols=True) as bar:
        while bar.n < steps:
            for number in rng.permutation(len(batches.row_N))[: steps - bar.n]:
                params, state, loss = step(params, state, Batch(*(leaf[number] for leaf in batches)))
                bar.update()
                bar.set_postfix_str(f"loss {float(loss):.3f}")
    return params


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("trained_llama", __doc__)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="a new one")
    parser.add_argument(
        "width", nargs="?", type=whole, default=128, metavar="WIDTH", help=f"of the model, a multiple of {HEAD}"
    )
    parser.add_argument("blocks", nargs="?", type=whole, default=4, metavar="BLOCKS", help="how many it has")
    parser.add_argument("steps", nargs="?", type=whole, default=300, metavar="STEPS", help="of the training")
    command_line.run(write, parser, arguments)


if __name__ == "__main__":
    main()
