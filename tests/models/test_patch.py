"""A patch goes in where states come out: at every layer of every model, at the tokens it names, and nowhere else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.models.gpt2 import GPT2
from clusterlm_jax.models.pretrained.gptj import GPTJ, GPTJSpec
from clusterlm_jax.models.pretrained.llama import Llama, LlamaSpec
from clusterlm_jax.models.sites import HIDDEN, Patch, stacked
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Batch

BLOCKS, WIDTH, ROWS, LENGTH = 2, 16, 4, 7
SIZES = {"vocabulary": 23, "hidden_dim": WIDTH, "ffn_dim": 24, "layers": BLOCKS, "heads": 2, "positions": 32}
PRETRAINED = SIZES | {"norm_epsilon": 1e-5, "compute_dtype": "float32"}
LAYERS = BLOCKS + 2
TOKENS = np.random.default_rng(0).integers(1, 20, (ROWS, LENGTH)).astype(np.int32)
LAST = np.full(ROWS, LENGTH - 1)


LLAMA = {"kv_heads": 1, "head_dim": 8, "rope_theta": 1e4, "rope_scaling": None}


def gpt2_and_inputs():
    ones, rows = np.ones_like(TOKENS), np.arange(ROWS)
    position = np.broadcast_to(np.arange(LENGTH), TOKENS.shape)
    batch = Batch(TOKENS, position, ones, 0 * ones, ones, rows, LAST, LAST - 1, LAST)
    return GPT2(GPT2Spec(layers=BLOCKS, heads=2, hidden_dim=WIDTH, positions=32, dropout=0.0), 23), (batch,)


MODELS = {
    "gpt2": gpt2_and_inputs,
    "llama": lambda: (Llama(LlamaSpec(**PRETRAINED, **LLAMA)), (TOKENS, LAST)),
    "gptj": lambda: (GPTJ(GPTJSpec(**PRETRAINED, rotary_dim=4)), (TOKENS, LAST)),
}


@pytest.fixture(scope="module", params=MODELS)
def passes(request):
    """patch -> the result at the last tokens, and their states at every layer; one program for all patches."""
    model, inputs = MODELS[request.param]()
    rng, shapes = np.random.default_rng(1), jax.eval_shape(model.init, jax.random.key(0), *inputs)
    variables = jax.tree.map(lambda leaf: 0.3 * rng.normal(size=leaf.shape).astype(np.float32), shapes)

    @jax.jit
    def run(patch):
        result, sown = model.apply(variables, *inputs, patch=patch, mutable=[HIDDEN])
        return result[:, -1] if result.ndim == 3 else result, stacked(sown[HIDDEN], BLOCKS)

    return run


def at(layer, row, state_D, column=LENGTH - 1) -> Patch:
    return Patch(*(np.array([place], np.int32) for place in (layer, row, column)), jnp.asarray(state_D)[None])


NOTHING = at(-1, 0, np.zeros(WIDTH, np.float32))


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_state_patched_by_itself_changes_nothing(passes, layer):
    result, hidden_LBD = passes(NOTHING)
    again, hidden_again = passes(at(layer, 2, hidden_LBD[layer, 2]))
    np.testing.assert_allclose(again, result, atol=1e-6)
    np.testing.assert_allclose(hidden_again, hidden_LBD, atol=1e-6)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_patch_is_seen_from_its_layer_on_and_in_its_row_alone(passes, layer):
    _, before = passes(NOTHING)
    _, after = passes(at(layer, 1, before[layer, 1] + jnp.arange(WIDTH)))
    changed = np.abs(np.asarray(after - before)).max(axis=-1) > 1e-4
    assert changed[layer:, 1].all()
    assert not changed[:layer].any()
    assert not changed[:, [0, 2, 3]].any()


@pytest.mark.parametrize("layer", range(BLOCKS))
def test_a_patched_earlier_token_is_read_by_the_blocks_that_follow(passes, layer):
    _, before = passes(NOTHING)
    _, after = passes(at(layer, 3, 5 * jnp.arange(WIDTH, dtype=jnp.float32), column=2))
    changed = np.abs(np.asarray(after - before)).max(axis=-1) > 1e-5
    np.testing.assert_array_equal(changed[:, 3], np.arange(LAYERS) > layer)


def test_a_swap_at_the_last_read_out_is_the_other_result(passes):
    result, hidden_LBD = passes(NOTHING)
    swapped, _ = passes(at(LAYERS - 1, 0, hidden_LBD[-1, 3]))
    np.testing.assert_array_equal(swapped[0], swapped[3])
    np.testing.assert_allclose(swapped[1:], result[1:], atol=1e-6)


def test_each_patch_has_its_own_layer(passes):
    """Two at once, in different rows and layers, do what each does alone; a negative layer does nothing."""
    _, before = passes(NOTHING)
    state_D = jnp.arange(WIDTH, dtype=jnp.float32)
    patches = [at(1, 0, state_D), at(2, 2, state_D), at(-1, 1, state_D)]
    _, together = passes(jax.tree.map(lambda *parts: jnp.concatenate(parts), *patches))
    for row, patch in zip((0, 2, 1), patches, strict=True):
        np.testing.assert_allclose(together[:, row], passes(patch)[1][:, row], atol=1e-6)
    np.testing.assert_allclose(together[:, [1, 3]], before[:, [1, 3]], atol=1e-6)
