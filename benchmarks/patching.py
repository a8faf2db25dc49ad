"""Patched passes through a LLaMA with random weights: prompts that share a row and its beginning, and each in its own.

    .venv/bin/python -m benchmarks.patching [WIDTH] [BLOCKS] [PROMPTS]

A trial is a prompt with one state of its last token replaced, at one layer; a causal test has a trial for each layer
and prompt. All trials of a wording share its tokens, so a trial costs one token and a share of the rest. The sides
take turns; each is the median of five.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

from benchmarks import command_line
from benchmarks.command_line import whole
from benchmarks.measuring import in_turns, mib, tell
from clusterlm_jax.data.batching import reading_batches
from clusterlm_jax.data.natural.shared import SharedSpec, compose
from clusterlm_jax.extraction.instances import instances_of
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.models.layers import OWN_HEAD
from clusterlm_jax.models.pretrained import loading
from clusterlm_jax.models.pretrained.llama import Llama, LlamaSpec
from clusterlm_jax.records import Instances, layer_names, subset
from clusterlm_jax.training.patching import ROWS, Trials, answers

VOCABULARY, HEAD = 32_000, 64
TOKENS = ExtractSpec.batch_tokens
SHARED, ALONE = "rows shared", "a row for each"


def words_of(texts: Sequence[str], known: dict[str, int]) -> list[np.ndarray]:
    """A token for each word: how many tokens there are is what matters here."""
    return [np.array([0, *(known.setdefault(word, len(known) + 1) for word in text.split())]) for text in texts]


def trials_of(blocks: int, prompts: int) -> tuple[Instances, np.ndarray]:
    """The instances, one for each trial, and the layer of each; instances of a wording share their instruction."""
    instances = instances_of(compose(SharedSpec(), 0), partial(words_of, known={}), SharedSpec(), 0)
    layers = len(layer_names(blocks))
    index_M = np.tile(instances.splits["validation"][:prompts], layers)
    tokens_MT, length_M = instances.tokens_NT[index_M], instances.length_N[index_M]
    every = Instances(tokens_MT, length_M, subset(instances.labels, index_M), {})
    return every, np.repeat(np.arange(layers), len(index_M) // layers)


def alone(instances: Instances) -> Instances:
    """The same instances, as if no two had the same instruction."""
    labels = {**instances.labels, "instruction": np.arange(len(instances.length_N), dtype=np.int32)}
    return dataclasses.replace(instances, labels=labels)


def side(width: int, blocks: int, prompts: int, shared: bool) -> Callable[[], object]:
    heads = max(1, width // HEAD)
    shape = {"heads": heads, "kv_heads": heads, "head_dim": width // heads, "hidden_dim": width, "layers": blocks}
    rest = {"norm_epsilon": 1e-5, "rope_theta": 1e4, "rope_scaling": None, "compute_dtype": "bfloat16"}
    spec = LlamaSpec(vocabulary=VOCABULARY, ffn_dim=8 * width // 3, positions=512, **shape, **rest)
    model = Llama(spec, OWN_HEAD)
    params = loading.untrained(model, 0, jax.local_devices())
    instances, layer_M = trials_of(blocks, prompts)
    instances = instances if shared else alone(instances)
    every_M = np.arange(len(layer_M))
    trials = Trials(every_M, layer_M, lambda trial_M: np.ones((len(trial_M), 1, width), np.float32))
    return lambda: answers(model, params, instances, trials, TOKENS)


def measure(width: int, blocks: int, prompts: int) -> None:
    sides = {name: partial(side, width, blocks, prompts, name == SHARED) for name in (SHARED, ALONE)}
    instances, layer_M = trials_of(blocks, prompts)
    found = in_turns(sides)
    for name, each in found.items():
        packed, _ = reading_batches(instances if name == SHARED else alone(instances), np.arange(len(layer_M)), ROWS)
        print(
            f"{name}: {len(layer_M) / each.seconds:,.1f} trials per second, {(packed.segment_RT > 0).sum():,} tokens "
            f"for {len(layer_M):,} trials, peak memory {mib(each.host_mib)}, on the device {mib(each.device_mib)}"
        )
    print(f"ratio {found[ALONE].seconds / found[SHARED].seconds:.1f}")
    tell("patching", found, width=width, blocks=blocks, trials=len(layer_M))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("patching", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("blocks", nargs="?", type=whole, default=6, metavar="BLOCKS", help="how many it has")
    parser.add_argument("prompts", nargs="?", type=whole, default=100, metavar="PROMPTS", help="each at every layer")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
