"""Writes the hidden states of a PyTorch model of transformers to a file that the command line reads.

    .venv/bin/python examples/pytorch_hidden_states.py --into=states.safetensors
    .venv/bin/python -m clusterlm_jax.main --config=configs/states.py:quick --config.states=states.safetensors

Without --model it is a small GPT-2 with random weights, and each word is a token. With --model=NAME it is any causal
language model of Hugging Face, by a name or a directory. --transformer-lens reads the states from the cache of
TransformerLens, which must know the model's name; without --model its weights are random. This was run with its version
2.18, in an environment of its own (pip install "transformer_lens<3" "pyarrow<22"): it needs numpy 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

WORDINGS = {
    "capital": ("The capital of {} is", "{} is governed from the city of", "Name the seat of government of {} :"),
    "language": ("The language spoken in {} is", "People in {} speak", "Name the official language of {} :"),
    "continent": ("{} lies on the continent of", "The continent of {} is", "Name the part of the world of {} :"),
}
COUNTRIES = ("France", "Italy", "Spain", "Poland", "Egypt", "Kenya", "Japan", "China", "Peru", "Chile")


def prompts() -> tuple[list[str], dict[str, list[str]], np.ndarray]:
    """Texts, labels by name, and which texts are the training set: each wording and each country is in it."""
    texts, train = [], []
    labels: dict[str, list[str]] = {"task": [], "distribution": [], "input": []}
    for (task, wordings), (place, country) in itertools.product(WORDINGS.items(), enumerate(COUNTRIES)):
        for number, wording in enumerate(wordings):
            texts.append(wording.format(country))
            for label, value in zip(labels, (task, wording, country), strict=True):
                labels[label].append(value)
            train.append((place + number) % 3 > 0)
    return texts, labels, np.array(train)


def random_gpt2(texts: list[str]) -> tuple[torch.nn.Module, list[list[int]]]:
    """A small GPT-2 with random weights, and the texts as numbers of their words."""
    from transformers import GPT2Config, GPT2LMHeadModel

    words = sorted({word for text in texts for word in text.split()})
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(words), n_positions=32, n_embd=32, n_layer=3, n_head=4))
    return model.eval(), [[words.index(word) for word in text.split()] for text in texts]


def pretrained(name: str, texts: list[str]) -> tuple[torch.nn.Module, list[list[int]]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name)(texts)["input_ids"]


def last_states(model: torch.nn.Module, ids: list[list[int]]) -> np.ndarray:
    """The states of the last token of each text, [layer, instance, width]: the embedding, then after every block.

    transformers gives the last one behind the final norm.
    """
    states = []
    with torch.no_grad():
        for text_ids in ids:  # one text at a time: nothing is padded
            hidden = model(torch.tensor([text_ids]), output_hidden_states=True).hidden_states
            states.append(torch.stack([layer[0, -1] for layer in hidden]))
    return torch.stack(states, dim=1).float().numpy()


def transformer_lens_states(name: str | None, texts: list[str]) -> np.ndarray:
    """The same from TransformerLens' cache; here the last one is before the final norm."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    if name:
        model = HookedTransformer.from_pretrained_no_processing(name)
        tokens = [model.to_tokens(text) for text in texts]
    else:
        words = sorted({word for text in texts for word in text.split()})
        sizes = {"n_layers": 3, "n_heads": 4, "d_head": 8, "d_model": 32, "n_ctx": 32, "d_vocab": len(words)}
        model = HookedTransformer(HookedTransformerConfig(**sizes, act_fn="gelu_new", seed=0))
        tokens = [torch.tensor([[words.index(word) for word in text.split()]]) for text in texts]
    states = []
    for text_tokens in tokens:
        _, cache = model.run_with_cache(text_tokens)
        stream = [cache["resid_pre", 0], *(cache["resid_post", block] for block in range(model.cfg.n_layers))]
        states.append(torch.stack([layer[0, -1] for layer in stream]))
    return torch.stack(states, dim=1).detach().float().cpu().numpy()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("states.safetensors"))
    parser.add_argument("--model", help="a causal language model of Hugging Face")
    parser.add_argument("--transformer-lens", action="store_true")
    given = parser.parse_args(arguments)
    texts, labels, train = prompts()
    if given.transformer_lens:
        hidden_LND = transformer_lens_states(given.model, texts)
    else:
        hidden_LND = last_states(*(pretrained(given.model, texts) if given.model else random_gpt2(texts)))
    # Safetensors hold no strings: the numbers of the values, and their names in the metadata. np.savez takes strings.
    named = {label: np.unique(values, return_inverse=True) for label, values in labels.items()}
    arrays = {label: number for label, (_, number) in named.items()} | {"hidden": hidden_LND, "train": train}
    save_file(arrays, given.into, metadata={label: json.dumps(names.tolist()) for label, (names, _) in named.items()})
    print(f"{given.into}: {' x '.join(map(str, hidden_LND.shape))}, labels {', '.join(labels)}")


if __name__ == "__main__":
    main()
