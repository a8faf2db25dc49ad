"""Matrix products with bfloat16 operands and float32 sums, forward and backward.

Left to itself, the gradient of such a product multiplies a float32 cotangent with a bfloat16 matrix, which runs at
float32 speed; here every product has bfloat16 operands and every sum, result and gradient is float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


@jax.custom_vjp
def _product(x_MD: jax.Array, w_DF: jax.Array) -> jax.Array:
    return jnp.matmul(x_MD.astype(jnp.bfloat16), w_DF.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def _forward(x_MD: jax.Array, w_DF: jax.Array):
    return _product(x_MD, w_DF), (x_MD.astype(jnp.bfloat16), w_DF.astype(jnp.bfloat16))


def _backward(operands, g_MF: jax.Array):
    x_MD, w_DF = operands
    return _product(g_MF, _transposed(w_DF)), _product(_transposed(x_MD), g_MF)


def _transposed(x_MN: jax.Array) -> jax.Array:
    """The transpose, on a CPU written out in memory.

    XLA would rather read the matrix across its rows. Its CPU product of bfloat16 matrices is then half as fast, which
    costs more than the copy does.
    """
    x_NM = x_MN.T
    return with_layout_constraint(x_NM, Layout((0, 1))) if jax.default_backend() == "cpu" else x_NM


_product.defvjp(_forward, _backward)


def bfloat16_dot_general(x: jax.Array, w_DF: jax.Array, dimension_numbers, precision=None) -> jax.Array:
    """The product of a `flax.linen.Dense` layer, for its `dot_general`: x [..., D] times w [D, F], all float32."""
    if dimension_numbers != (((x.ndim - 1,), (0,)), ((), ())) or precision is not None:
        raise ValueError(f"Only the product of a dense layer is implemented, not {dimension_numbers}.")
    return _product(x.reshape(-1, x.shape[-1]), w_DF).reshape(*x.shape[:-1], w_DF.shape[-1])
