"""A pretrained LLaMA or GPT-J under test: its head is loaded too, and it answers natural instructions.

The answer is a text. It counts as right when its first token is that of the right answer, among all tokens.
"""

from __future__ import annotations

import jax

from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.data.natural import shared
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.experiments.causal.trained import Trained
from clusterlm_jax.extraction import hub
from clusterlm_jax.extraction.instances import instances_of
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.models.pretrained import loading
from clusterlm_jax.workdir import WorkDir


def open_checkpoint(config: Causal, workdir: WorkDir) -> tuple[Trained]:
    """The model of a checkpoint, on all devices, and the prompts: those of the work directory, or new ones.

    Raises:
      UserError: there is no such model, it is another architecture, its files are damaged, or a word file is.
    """
    seed, extract = config.seeds[0], config.extract
    path = workdir.dataset(seed) / natural.FILE
    if not path.exists():
        natural.save(shared.compose(config.data, seed), path)
    prompts = natural.load(path)
    directory = hub.locate(config.checkpoint, weights=not extract.random_weights)
    model = loading.describe(directory, extract.compute_dtype, head=True)
    tokenizer = Tokenizer(directory, extract.fast_tokenizer, model.spec.vocabulary, model.spec.positions)
    instances = instances_of(prompts, tokenizer, config.data, seed)
    if extract.random_weights:
        params = loading.untrained(model, seed, jax.local_devices())
    else:
        params = loading.load(directory, model, jax.local_devices())
    return (Trained(model, params, instances, seed, extract.batch_tokens, prompts.names["distribution"]),)
