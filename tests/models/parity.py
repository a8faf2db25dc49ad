"""Shared by the tests of LLaMA and GPT-J: tiny random PyTorch models, their states, and their parameters as ours."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from clusterlm_jax.models.pretrained.architectures import model_of, read_states
from clusterlm_jax.records import layer_names

TOLERANCE = 5e-5  # float32 noise; a wrong epsilon, frequency or order of heads makes a difference of 5e-4 or more
VOCABULARY = 61
LENGTHS = (41, 24, 33)  # long enough that a wrong rotary frequency makes a difference
# The embedding, the blocks and the final norm of a PyTorch model.
SITES = {"llama": ("model", "embed_tokens", "layers", "norm"), "gptj": ("transformer", "wte", "h", "ln_f")}

states = jax.jit(read_states, static_argnums=0)


def torch_twin(config):
    """transformers' PyTorch model of a configuration; every weight is random, norms and biases too, states are O(1)."""
    torch = pytest.importorskip("torch")
    from transformers import GPTJForCausalLM, LlamaForCausalLM

    config._attn_implementation = "eager"
    twin = {"llama": LlamaForCausalLM, "gptj": GPTJForCausalLM}[config.model_type](config).eval()
    draw = torch.Generator().manual_seed(0)
    for name, weight in twin.named_parameters():
        noise = torch.randn(weight.shape, generator=draw)
        if weight.ndim == 1:
            weight.data = 0.3 * noise + (0 if name.endswith("bias") else 1)
        else:
            weight.data = noise * (1 if SITES[config.model_type][1] in name else 1.2 * weight.shape[1] ** -0.5)
    return twin


def params_of(twin) -> dict:
    """The parameters of a PyTorch model as transformers' Flax names and turns them, the head among them."""
    tree: dict = {}
    for name, weight in twin.named_parameters():
        *path, kind = name.split(".")
        value = weight.detach().numpy()
        if kind == "weight" and value.ndim == 2:
            embeds = path[-1] in ("embed_tokens", "wte")
            kind, value = ("embedding", value) if embeds else ("kernel", value.T)
        elif kind == "weight" and twin.config.model_type == "gptj":
            kind = "scale"
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        branch[kind] = value.copy()
    return tree


def torch_states(twin, tokens_T: np.ndarray) -> np.ndarray:
    """States of one prompt by hooks, [L, T, D]: transformers' own hidden_states lack the last block's."""
    import torch

    trunk, embedding, blocks, norm = SITES[twin.config.model_type]
    trunk, heard = getattr(twin, trunk), []
    sites = [getattr(trunk, embedding), *getattr(trunk, blocks), getattr(trunk, norm)]
    hooks = [
        site.register_forward_hook(lambda _, __, out: heard.append(out[0] if isinstance(out, tuple) else out))
        for site in sites
    ]
    with torch.no_grad():
        twin(torch.tensor(tokens_T[None]))
    for hook in hooks:
        hook.remove()
    return np.stack([out.detach().numpy().reshape(len(tokens_T), -1) for out in heard])


def prompts(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unequal lengths, right-padded with random tokens, and the column of each row's last token."""
    tokens_BT = np.random.default_rng(seed).integers(0, VOCABULARY, (len(LENGTHS), max(LENGTHS)))
    return tokens_BT, np.array(LENGTHS) - 1


def difference_by_layer(ours_LBD: np.ndarray, theirs_LBD: np.ndarray) -> dict[str, float]:
    assert ours_LBD.shape == theirs_LBD.shape
    assert 0.3 < np.abs(theirs_LBD).std() < 30  # states of order 1, or the tolerance would mean little
    return dict(zip(layer_names(len(ours_LBD) - 2), np.abs(ours_LBD - theirs_LBD).max(axis=(1, 2)), strict=True))


def difference_to_torch(twin) -> dict[str, float]:
    """Our states of the padded batch minus PyTorch's of each row alone, at each row's last token, layer by layer."""
    tokens_BT, last_B = prompts()
    ours_LBD = states(model_of(twin.config, "float32"), params_of(twin), tokens_BT, last_B)
    rows = [torch_states(twin, row_T[: last + 1])[:, -1] for row_T, last in zip(tokens_BT, last_B, strict=True)]
    return difference_by_layer(np.asarray(ours_LBD), np.stack(rows, axis=1))


def stock_flax(config):
    """transformers' Flax model of a configuration, for `stock_states`; it needs rank promotion."""
    with jax.numpy_rank_promotion("allow"):
        return flax_class({"llama": "LlamaForCausalLM", "gptj": "GPTJForCausalLM"}[config.model_type])(config)


def flax_class(name: str) -> type:
    """transformers' Flax class of the name of its PyTorch class. Version 5 has none: the test is skipped there."""
    import transformers

    if int(transformers.__version__.partition(".")[0]) >= 5:
        pytest.skip("transformers 5 has no Flax models to compare with")
    return getattr(transformers, f"Flax{name}")


def stock_states(stock, params: dict) -> np.ndarray:
    """Its states of the prompts; they lack the last block's, and end with those after the final norm."""
    tokens_BT, last_B = prompts()
    seen_BT = np.arange(tokens_BT.shape[1])[None] <= last_B[:, None]
    with jax.numpy_rank_promotion("allow"):
        output = stock(tokens_BT, attention_mask=seen_BT, params=params, output_hidden_states=True)
    return np.stack([state_BTD[np.arange(len(last_B)), last_B] for state_BTD in output.hidden_states])


def difference_to_flax(config) -> dict[str, float]:
    """Our states minus those of transformers' Flax model, from the same tree of parameters."""
    stock, draw = stock_flax(config), np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + draw.normal(0, 0.3 if leaf.ndim == 1 else 0.2, leaf.shape).astype(np.float32), stock.params
    )
    *blocks, final_norm = stock_states(stock, params)
    ours_LBD = np.asarray(states(model_of(config, "float32"), params, *prompts()))
    return difference_by_layer(np.delete(ours_LBD, -2, axis=0), np.stack([*blocks, final_norm]))


def unmoved_by(model, params: dict) -> list[str]:
    """The parameters that no state depends on by more than the tolerance."""
    tokens_BT, last_B = prompts()
    before_LBD = states(model, params, tokens_BT, last_B)
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    unmoved = []
    for index, (path, leaf) in enumerate(leaves):
        values = [leaf for _, leaf in leaves]
        values[index] = leaf * 1.05
        after_LBD = states(model, jax.tree.unflatten(tree, values), tokens_BT, last_B)
        if np.abs(after_LBD - before_LBD).max() < 10 * TOLERANCE:
            unmoved.append(jax.tree_util.keystr(path, simple=True, separator="/"))
    return unmoved


def assert_rows_are_as_if_alone(model, params: dict) -> None:
    """Neither the padding of a row nor the other rows matter."""
    tokens_BT, last_B = prompts()
    batch_LBD = states(model, params, tokens_BT, last_B)
    for row, last in enumerate(last_B):
        alone_LBD = states(model, params, tokens_BT[row : row + 1, : last + 1], last[None])
        np.testing.assert_allclose(batch_LBD[:, row], alone_LBD[:, 0], atol=TOLERANCE, rtol=0)


def tokens_that_matter(model, params: dict, position: int, length: int) -> np.ndarray:
    """The tokens of a prompt that the states at `position` depend on, by gradient, bool [T]."""
    (trunk, words), *_ = [names[:2] for names in SITES.values() if names[0] in params]
    embedding_VD = params[trunk][words]["embedding"]

    def said(own_VD):
        # Each position has a token of its own, whose embedding we differentiate by.
        own = params | {trunk: params[trunk] | {words: {"embedding": own_VD}}}
        return read_states(model, own, np.arange(length)[None], np.array([position]))[1:].sum()

    return np.abs(jax.jit(jax.grad(said))(embedding_VD)[:length]).max(axis=1) > 0


def largest_change_by_bfloat16(config, params: dict) -> float:
    """How far the states move in bfloat16, as a share of the largest; also checks that they are float32."""
    rough = jax.tree.map(lambda leaf: leaf.astype(jax.numpy.bfloat16), params)
    exact_LBD = states(model_of(config, "float32"), params, *prompts())
    rough_LBD = states(model_of(config, "bfloat16"), rough, *prompts())
    assert rough_LBD.dtype == np.float32
    return float(np.abs(rough_LBD - exact_LBD).max() / np.abs(exact_LBD).max())
