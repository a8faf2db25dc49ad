"""A pretrained model as a module, its variables and its tokenizer: for a script or a notebook of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax

from clusterlm_jax.extraction.hub import locate
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.models.pretrained import loading


class Pretrained(NamedTuple):
    """What `load_pretrained` gives, in this order.

    Attributes:
      module: `Llama` or `GPTJ`; it takes right-padded tokens [B, T] and the column of each row's last token [B].
      variables: what `module.apply` takes.
      tokenizer: texts -> token ids; `tokenizer.padded` gives what the module takes.
    """

    module: nn.Module
    variables: dict
    tokenizer: Tokenizer


def load_pretrained(
    path: str | Path,
    *,
    compute_dtype: str = "bfloat16",
    fast_tokenizer: bool = True,
    devices: Sequence[jax.Device] | None = None,
) -> Pretrained:
    """A LLaMA or GPT-J model from a checkpoint of transformers; its weights go to the devices tensor by tensor.

    The states of all layers at the last token of each text:

        module, variables, tokenizer = load_pretrained("EleutherAI/gpt-j-6b")
        states = capture(module, variables, *tokenizer.padded(texts), batch_size=16)

    Args:
      path: a directory with config.json, weights and tokenizer; or a name on Hugging Face, which is downloaded.
      compute_dtype: of the weights and of the operands of products; sums and states are float32.
      fast_tokenizer: False for OpenLLaMA, whose converted fast tokenizer gives wrong ids.
      devices: where the matrices are split; None takes all devices of this machine.

    Raises:
      UserError: there is no such model, it is another architecture, or its files are damaged.
    """
    directory = locate(str(path))
    module = loading.describe(directory, compute_dtype)
    tokenizer = Tokenizer(directory, fast_tokenizer, module.spec.vocabulary, module.spec.positions)
    params = loading.load(directory, module, jax.local_devices() if devices is None else devices)
    return Pretrained(module, {"params": params}, tokenizer)
