"""Products of bfloat16 operands: values and gradients equal those of matrices rounded by hand."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.models.precision import _transposed, bfloat16_dot_general

DENSE = (((1,), (0,)), ((), ()))  # the dimension numbers of a dense layer
NOISE = 1e-5  # of float32 sums, as a share of the sum of sizes; rounding to bfloat16 is 4e-3
SHAPES = [(5, 7, 3), (64, 256, 128), (1, 33, 1), (300, 1, 2)]


def product(x_TD: jax.Array, w_DF: jax.Array) -> jax.Array:
    return bfloat16_dot_general(x_TD, w_DF, DENSE)


def operands(shape: tuple[int, int, int], seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x [M, D], w [D, F] and a cotangent [M, F], float32."""
    m, d, f = shape
    keys = jax.random.split(jax.random.key(seed), 3)
    return tuple(jax.random.normal(key, size) for key, size in zip(keys, ((m, d), (d, f), (m, f)), strict=True))


def rounded(x: jax.Array) -> np.ndarray:
    return np.asarray(x.astype(jnp.bfloat16)).astype(np.float64)


def assert_product(found: jax.Array, left: np.ndarray, right: np.ndarray) -> None:
    """Against the float64 product of rounded operands, element by element."""
    assert found.dtype == jnp.float32
    assert (np.abs(np.asarray(found) - left @ right) <= NOISE * (np.abs(left) @ np.abs(right))).all()


def value_and_gradients(x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    value, backward = jax.vjp(product, x, w)
    return value, *backward(g)


def in_turn(step: Callable) -> Callable:
    """As `training.steps.over_seeds` runs seeds on a CPU."""
    return lambda *stacked: jax.lax.map(lambda one: step(*one), stacked)


@pytest.mark.parametrize("how", [lambda step: step, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_are_products_of_rounded_matrices(shape: tuple[int, int, int], how: Callable) -> None:
    """Breaks when an operand stays float32, a sum is bfloat16, or the wrong matrix is transposed."""
    x, w, g = operands(shape)
    value, of_x, of_w = how(value_and_gradients)(x, w, g)
    assert_product(value, rounded(x), rounded(w))
    assert_product(of_x, rounded(g), rounded(w).T)
    assert_product(of_w, rounded(x).T, rounded(g))
    theirs = jnp.matmul(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), preferred_element_type=jnp.float32)
    np.testing.assert_allclose(value, theirs, rtol=0, atol=NOISE * float(np.abs(theirs).max()))


def test_that_rounding_shows() -> None:
    """If not, the tolerance would hide a float32 product."""
    x, w, g = operands(SHAPES[1])
    exact = np.asarray(x, np.float64), np.asarray(w, np.float64)
    with pytest.raises(AssertionError):
        assert_product(product(x, w), *exact)
    with pytest.raises(AssertionError):
        assert_product(jnp.matmul(x, w), rounded(x), rounded(w))
    with pytest.raises(AssertionError):
        assert_product(value_and_gradients(x, w, g)[2], rounded(x).T, np.asarray(g, np.float64))


@pytest.mark.parametrize("how", [jax.vmap, in_turn], ids=["vmap", "map"])
def test_seeds_side_by_side_and_in_turn_have_their_own_gradients(how: Callable) -> None:
    """Both ways of `over_seeds`, inside jit. Breaks when the layout of the transpose is right for one matrix only."""
    seeds = [operands((6, 9, 4), seed) for seed in (1, 2, 3)]
    together = jax.jit(how(value_and_gradients))(*(jnp.stack(parts) for parts in zip(*seeds, strict=True)))
    for index, (x, w, g) in enumerate(seeds):
        value, of_x, of_w = (part[index] for part in together)
        assert_product(value, rounded(x), rounded(w))
        assert_product(of_x, rounded(g), rounded(w).T)
        assert_product(of_w, rounded(x).T, rounded(g))


def test_leading_axes_are_instances() -> None:
    """x [R, T, D], as in a dense layer; the gradient of w sums over rows and positions."""
    x, w, g = operands((6, 8, 5))
    g_RTF = g.reshape(2, 3, 5)

    def loss(x_RTD: jax.Array, w_DF: jax.Array) -> jax.Array:
        return (bfloat16_dot_general(x_RTD, w_DF, (((2,), (0,)), ((), ()))) * g_RTF).sum()

    of_x, of_w = jax.jit(jax.grad(loss, (0, 1)))(x.reshape(2, 3, 8), w)
    assert of_x.shape == (2, 3, 8)
    assert_product(of_x.reshape(6, 8), rounded(g), rounded(w).T)
    assert_product(of_w, rounded(x).T, rounded(g))


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1), (128, 64)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_transpose_is_the_transpose(shape: tuple[int, int], dtype: type) -> None:
    matrix = jax.random.normal(jax.random.key(0), shape).astype(dtype)
    for how in (lambda step: step, jax.jit):
        np.testing.assert_array_equal(how(_transposed)(matrix), matrix.T)
    stacked = jnp.stack([matrix, 2 * matrix])
    np.testing.assert_array_equal(jax.jit(jax.vmap(_transposed))(stacked), stacked.swapaxes(1, 2))


@pytest.mark.parametrize(
    "dimensions", [(((0,), (0,)), ((), ())), (((1,), (1,)), ((), ())), (((2,), (0,)), ((0,), (0,)))]
)
def test_other_products_are_refused(dimensions: tuple) -> None:
    """Breaks when a product that is not a dense layer's is computed as if it were one."""
    with pytest.raises(ValueError, match="Only the product of a dense layer"):
        bfloat16_dot_general(jnp.ones((4, 4)), jnp.ones((4, 4)), dimensions)
    with pytest.raises(ValueError, match="Only the product of a dense layer"):
        bfloat16_dot_general(jnp.ones((4, 4)), jnp.ones((4, 4)), DENSE, precision="highest")
