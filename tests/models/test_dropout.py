"""Our dropout: its random numbers are as good as dropout needs, and follow from the key alone."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.models.gpt2 import Dropout, _random_16_bits


def dropped(key: jax.Array, x: jax.Array, rate: float = 0.2) -> jax.Array:
    return Dropout(rate).apply({}, x, False, rngs={"dropout": key})


def kept_at(key: jax.Array, shape: tuple[int, ...], rate: float = 0.5) -> np.ndarray:
    """Which elements are kept, bool."""
    return np.asarray(dropped(key, jnp.ones(shape), rate)) != 0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_rate_and_the_mean(rate: float):
    """Over 200,400 elements, within 4 standard errors. Kept elements are scaled up, so that the mean stays."""
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 3, (400, 501)), jnp.float32)
    y = np.asarray(dropped(jax.random.key(0), x, rate))
    kept = y != 0
    error = (rate * (1 - rate) / x.size) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < 4 * error
    np.testing.assert_allclose(y[kept], np.asarray(x)[kept] / (1 - rate), rtol=1e-4)
    assert abs(y.mean() - 2) < 4 * (2.1 * error / (1 - rate) + 0.58 / x.size**0.5)


def test_dropout_keeps_every_element_as_often():
    """Each of 1,000 elements over 400 keys, by chi-square. Breaks when some index is kept more often than another."""
    kept_SN = np.stack([kept_at(jax.random.fold_in(jax.random.key(3), step), (1000,), 0.2) for step in range(400)])
    square_N = (kept_SN.sum(axis=0) - 320) ** 2 / (400 * 0.2 * 0.8)
    assert abs(square_N.sum() - 1000) < 4 * (2 * 1000) ** 0.5
    square_S = (kept_SN.sum(axis=1) - 800) ** 2 / (1000 * 0.2 * 0.8)
    assert abs(square_S.sum() - 400) < 4 * (2 * 400) ** 0.5  # and no mask keeps more than another


def test_random_numbers_of_dropout_are_uniform():
    """2 million in 2048 equal bins, by chi-square, and each of the 16 bits."""
    numbers = np.asarray(_random_16_bits(jax.random.key(1), (2048, 1024))).ravel()
    assert numbers.min() >= 0
    assert numbers.max() <= 65535
    count = np.bincount(numbers // 32, minlength=2048)
    assert abs(((count - 1024) ** 2 / 1024).sum() - 2047) < 4 * (2 * 2047) ** 0.5
    share = (numbers[:, None] >> np.arange(16) & 1).mean(axis=0)
    assert np.abs(share - 0.5).max() < 4.5 * 0.5 / numbers.size**0.5


def test_neighbouring_elements_are_dropped_independently():
    """No correlation at any distance that layouts make likely: neighbours, powers of two, rows, heads. Each is within
    4.5 deviations of 1 / sqrt(262144). The index counts up by one, so a weak hash would show here."""
    kept = kept_at(jax.random.key(2), (8, 4, 64, 128)).ravel() - 0.5
    for distance in {*range(1, 20), *(2**power for power in range(5, 17)), 3 * 128, 5 * 8192, 127, 129}:
        correlation = (kept[distance:] * kept[:-distance]).mean() / 0.25
        assert abs(correlation) < 4.5 / (kept.size - distance) ** 0.5, distance
    assert abs((kept[:-2] * kept[1:-1] * kept[2:]).mean() / 0.125) < 4.5 / kept.size**0.5  # three in a row


def correlated(kept_ZN: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs of masks, each of half the elements, that correlate: at the same places or shifted against each other."""
    sign_ZN = np.where(kept_ZN, 1, -1)
    pairs = [(k, other, shift) for k in range(len(kept_ZN)) for other in range(k) for shift in (0, 1, 2, 64)]
    error = sign_ZN.shape[1] ** -0.5
    return [
        (k, other, shift)
        for k, other, shift in pairs
        if abs((np.roll(sign_ZN[k], shift) * sign_ZN[other]).mean()) > 4.5 * error
    ]


def test_two_keys_give_unrelated_masks():
    """Keys of neighbouring seeds, and keys that were split or folded from one key."""
    one = jax.random.key(0)
    keys = [one, jax.random.key(1), jax.random.key(2**31), jax.random.key(2**32 - 1)]
    keys += [*jax.random.split(one, 3), *(jax.random.fold_in(one, step) for step in (7, 8))]
    assert not correlated(np.stack([kept_at(key, (100_000,)) for key in keys]))


def test_either_half_of_a_key_decides_the_random_numbers():
    """Breaks when a half of the key is not used.

    Two first halves that differ by less than the number of elements give the same numbers in another order; this needs
    equal second halves too, which one in 2^32 pairs of keys has.
    """
    halves = [(0, 0), (0, 1), (0, 2**31), (5, 1), (2**20, 0), (2**31, 1)]
    keys = jax.random.wrap_key_data(jnp.array(halves, jnp.uint32))
    assert not correlated(np.stack([_random_16_bits(key, (100_000,)) < 2**15 for key in keys]))


def test_the_same_key_gives_the_same_mask_under_jit_and_vmap():
    """Each seed has the mask of its own key: neither resuming nor training seeds together changes a mask."""
    keys, x = jax.random.split(jax.random.key(5), 3), jnp.ones((3, 40, 30))
    alone = np.stack([dropped(key, one) for key, one in zip(keys, x, strict=True)])
    np.testing.assert_array_equal(np.stack([dropped(key, one) for key, one in zip(keys, x, strict=True)]), alone)
    np.testing.assert_array_equal(jax.jit(jax.vmap(dropped))(keys, x), alone)
    np.testing.assert_array_equal(
        jax.jit(lambda keys, x: jax.lax.map(lambda one: dropped(*one), (keys, x)))(keys, x), alone
    )
    np.testing.assert_array_equal(jax.jit(dropped)(keys[1], x[1]), alone[1])
    assert not np.array_equal(alone[0] != 0, alone[1] != 0)


def test_dropout_of_one_module_differs_from_call_to_call():
    """A block calls one dropout three times. Breaks when all calls get the same key."""

    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            drop = Dropout(0.5)
            return drop(x, False), drop(x, False)

    first, second = Twice().apply({}, jnp.ones(100_000), rngs={"dropout": jax.random.key(0)})
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / 100_000**0.5


def test_dropout_passes_the_gradient_of_what_it_keeps():
    x, key = jnp.arange(1.0, 201), jax.random.key(0)
    gradient = jax.grad(lambda x: dropped(key, x).sum())(x)
    np.testing.assert_allclose(gradient * x, dropped(key, x), rtol=1e-6)


@pytest.mark.parametrize(("rate", "deterministic"), [(0.2, True), (0.0, False)])
def test_without_dropout_nothing_changes_and_no_key_is_needed(rate: float, deterministic: bool):
    x = jnp.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(Dropout(rate).apply({}, x, deterministic), x)
