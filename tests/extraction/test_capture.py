"""States of any Flax module: what it sows, what its submodules put out, and nothing else leaves the device."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clusterlm_jax import capture
from clusterlm_jax.records import UserError

BLOCKS, WIDTH, TOKENS = 11, 4, 9  # blocks of two digits: sorted by name, block_10 would stand before block_2


class Block(nn.Module):
    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return x_BTD + nn.tanh(nn.Dense(WIDTH, name="dense")(x_BTD))


class Model(nn.Module):
    """Blocks on an embedding; it may sow its states, into Flax's own collection or another."""

    into: str = ""

    @nn.compact
    def __call__(self, tokens_BT: jax.Array, scale: float = 1.0) -> jax.Array:
        x_BTD = scale * nn.Embed(TOKENS, WIDTH, name="embed")(tokens_BT)
        for index in range(BLOCKS):
            x_BTD = Block(name=f"block_{index}")(x_BTD)
            if self.into:
                self.sow(self.into, f"layer_{index}", x_BTD)
        return x_BTD


class NNXBlock(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        x_BTD = x_BTD + nnx.tanh(self.dense(x_BTD))
        self.sow(nnx.Intermediate, "state", x_BTD)
        return x_BTD


class NNXModel(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(TOKENS, WIDTH, rngs=rngs)
        self.blocks = nnx.List([NNXBlock(rngs) for _ in range(BLOCKS)])

    def __call__(self, tokens_BT: jax.Array, scale: float = 1.0) -> jax.Array:
        x_BTD = scale * self.embed(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD


@pytest.fixture
def tokens_NT(rng) -> np.ndarray:
    return rng.integers(0, TOKENS, (7, 5))


@pytest.fixture
def position_N(rng) -> np.ndarray:
    return rng.integers(0, 5, 7)


def by_hand(variables: dict, tokens_NT: np.ndarray) -> np.ndarray:
    """The state after each block, [block, instance, position, width], in numpy."""
    params = jax.tree.map(np.asarray, variables["params"])
    states = [params["embed"]["embedding"][tokens_NT]]
    for index in range(BLOCKS):
        dense = params[f"block_{index}"]["dense"]
        states.append(states[-1] + np.tanh(states[-1] @ dense["kernel"] + dense["bias"]))
    return np.stack(states[1:])


@pytest.mark.parametrize(
    ("into", "sites", "batch_size"),
    [("", ["block_*"], None), ("intermediates", None, 3), ("hidden", None, 100), ("hidden", ["layer_*"], 3)],
)
def test_a_linen_module_is_read_by_what_it_sows_or_its_submodules(into, sites, batch_size, tokens_NT, position_N):
    model = Model(into)
    variables = model.init(jax.random.key(0), tokens_NT[:1])  # with what `init` sows, which must not count
    variables = {name: variables[name] for name in ("params", "intermediates") if name in variables}
    states = capture(
        model, variables, tokens_NT, sites=sites, positions=position_N, batch_size=batch_size, progress=False
    )
    name = "layer" if into else "block"
    assert list(states) == [f"{name}_{index}" for index in range(BLOCKS)]
    expected = by_hand(variables, tokens_NT)[:, np.arange(7), position_N]
    np.testing.assert_allclose(np.stack([*states.values()]), expected, rtol=1e-5, atol=1e-6)
    assert all(state.dtype == np.float32 for state in states.values())


def test_sites_positions_and_options(tokens_NT):
    """Names of parts, the order asked for, one position for all, no position, and the options of the module."""
    model = Model()
    variables = model.init(jax.random.key(0), tokens_NT)
    states = capture(model, variables, tokens_NT, sites=("block_0.dense", "embed"), positions=-1, scale=2.0)
    assert list(states) == ["block_0.dense", "embed"]
    np.testing.assert_allclose(states["embed"], variables["params"]["embed"]["embedding"][tokens_NT[:, -1]])
    kernel = variables["params"]["block_0"]["dense"]["kernel"]  # the bias is 0
    np.testing.assert_allclose(states["block_0.dense"], 2 * states["embed"] @ kernel, rtol=1e-4, atol=1e-5)
    whole = capture(model, variables, tokens_NT, sites=("block_1", "__call__"))
    np.testing.assert_allclose(whole["__call__"], model.apply(variables, tokens_NT), rtol=1e-5, atol=1e-6)
    assert whole["block_1"].shape == (7, 5, WIDTH)


def test_an_nnx_module_is_read_by_its_own_sow(tokens_NT, position_N):
    model = NNXModel(nnx.Rngs(0))
    params = {"embed": {"embedding": model.embed.embedding[...]}}
    for index, block in enumerate(model.blocks):
        params[f"block_{index}"] = {"dense": {"kernel": block.dense.kernel[...], "bias": block.dense.bias[...]}}
    expected = by_hand({"params": params}, tokens_NT)[:, np.arange(7), position_N]
    for variables in (None, nnx.state(model)):
        states = capture(model, variables, tokens_NT, positions=position_N, batch_size=4, progress=False)
        assert list(states) == [f"blocks.{index}.state" for index in range(BLOCKS)]
        np.testing.assert_allclose(np.stack([*states.values()]), expected, rtol=1e-5, atol=1e-6)
    assert list(capture(model, None, tokens_NT, sites=("blocks.1?.state",), positions=0)) == ["blocks.10.state"]
    assert not nnx.state(model, nnx.Intermediate)  # the module is as it was


class Shared(nn.Module):
    @nn.compact
    def __call__(self, x_BD: jax.Array) -> jax.Array:
        block = nn.Dense(WIDTH, name="block")
        return block(block(x_BD))


def test_a_submodule_that_is_passed_twice_has_two_sites():
    x_BD = jnp.eye(WIDTH)
    variables = Shared().init(jax.random.key(0), x_BD)
    states = capture(Shared(), variables, x_BD, sites=("block.*",))
    assert list(states) == ["block.0", "block.1"]
    np.testing.assert_allclose(states["block.1"], states["block.0"] @ variables["params"]["block"]["kernel"], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "sows nothing, so sites must be named; it has: embed, block_0"),
        ({"sites": ["blok_*"]}, "no site 'blok_\\*'; it has: embed"),
        ({"sites": ["block_*"], "positions": 5}, "positions go from 5 to 5; there are 5"),
        ({"sites": ["block_*"], "positions": [0, 1]}, r"positions has the shape \(2,\)"),
        ({"sites": ["block_*"], "batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_does_not_fit_is_refused(given, words, tokens_NT):
    model = Model()
    variables = model.init(jax.random.key(0), tokens_NT)
    with pytest.raises(UserError, match=words):
        capture(model, variables, tokens_NT, **given)


def test_only_the_read_out_position_leaves_the_device(tokens_NT, monkeypatch):
    """What the jitted program returns is what leaves the device: no [instance, position, width]."""
    model, jit, returned = Model(), jax.jit, []
    variables = model.init(jax.random.key(0), tokens_NT)

    def spied(function):
        jitted = jit(function)

        def call(*given):
            returned.append(jitted(*given))
            return returned[-1]

        return call

    monkeypatch.setattr(jax, "jit", spied)
    capture(model, variables, tokens_NT, sites=("block_*",), positions=2, batch_size=4, progress=False)
    assert {leaf.shape for leaf in jax.tree.leaves(returned)} == {(4, WIDTH)}
    assert len(returned) == 2
