"""The states of a Flax model of one's own, straight into the analysis; the model needs no change.

    .venv/bin/python examples/own_flax_model.py

A Linen module is read by what it sows; one that sows nothing, as here, by the outputs of its submodules (`sites`). An
NNX module is read by its own sow: `capture(module, None, tokens, ...)`.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np

from clusterlm_jax import capture, cluster_layers

VOCABULARY, LENGTH, WIDTH, BLOCKS = 24, 7, 16, 3


class Block(nn.Module):
    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        mask = nn.make_causal_mask(x_BTD[..., 0])
        x_BTD = x_BTD + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x_BTD), mask=mask)
        return x_BTD + nn.Dense(WIDTH)(nn.gelu(nn.Dense(2 * WIDTH)(nn.LayerNorm()(x_BTD))))


class Model(nn.Module):
    @nn.compact
    def __call__(self, tokens_BT: jax.Array) -> jax.Array:
        x_BTD = nn.Embed(VOCABULARY, WIDTH, name="embed")(tokens_BT)
        for index in range(BLOCKS):
            x_BTD = Block(name=f"block_{index}")(x_BTD)
        return nn.Dense(VOCABULARY, name="head")(x_BTD)


def main() -> None:
    rng = np.random.default_rng(0)
    task_N = np.repeat(np.arange(4), 24)
    tokens_NT = rng.integers(0, VOCABULARY - 4, (len(task_N), LENGTH))
    length_N = rng.integers(4, LENGTH + 1, len(task_N))
    tokens_NT[:, 1] = VOCABULARY - 4 + task_N  # the symbol that tells the task
    model = Model()
    variables = model.init(jax.random.key(0), tokens_NT[:1])  # or those that you trained

    # The last token of each instance, after the embedding and after every block; 32 instances at a time.
    states = capture(model, variables, tokens_NT, sites=("embed", "block_*"), positions=length_N - 1, batch_size=32)
    last_token_N = tokens_NT[np.arange(len(task_N)), length_N - 1]
    rows = cluster_layers(states, {"task": task_N, "last token": last_token_N}, jobs=("raw",), null_draws=3)
    for row in rows:
        if row.score == "variance_share":
            print(f"{row.layer}: {row.value:.2f} of the variance by {row.label}")


if __name__ == "__main__":
    main()
