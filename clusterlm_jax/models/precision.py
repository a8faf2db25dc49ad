"""Matrix products with bfloat16 operands and float32 sums, forward and backward.

The gradient that JAX derives for such a product multiplies a float32 cotangent with a bfloat16 matrix, which is as slow
as a float32 product. So the gradient is written out here: every product has bfloat16 operands, and every sum, result
and gradient is float32. T stands for all leading axes, flattened.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


@jax.custom_vjp
def _product(x_TD: jax.Array, w_DF: jax.Array) -> jax.Array:
    return jnp.matmul(x_TD.astype(jnp.bfloat16), w_DF.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def _forward(x_TD: jax.Array, w_DF: jax.Array):
    # The backward pass needs the operands only as bfloat16, so they wait for it in half the memory.
    return _product(x_TD, w_DF), (x_TD.astype(jnp.bfloat16), w_DF.astype(jnp.bfloat16))


def _backward(operands, g_TF: jax.Array):
    x_TD, w_DF = operands
    return _product(g_TF, _transposed(w_DF)), _product(_transposed(x_TD), g_TF)


def _transposed(matrix: jax.Array) -> jax.Array:
    """The transpose; on a CPU it is written out in memory, row by row.

    Otherwise XLA does not copy the matrix, but reads it against its layout. Its CPU product of bfloat16 matrices is
    then half as fast, which costs more than the copy.
    """
    transposed = matrix.T
    return with_layout_constraint(transposed, Layout((0, 1))) if jax.default_backend() == "cpu" else transposed


_product.defvjp(_forward, _backward)


def bfloat16_dot_general(x: jax.Array, w_DF: jax.Array, dimension_numbers, precision=None) -> jax.Array:
    """x [..., D] times w [D, F], all float32: the `dot_general` of a `flax.linen.Dense` layer.

    Raises:
      ValueError: any other product, or a precision; neither is implemented.
    """
    if dimension_numbers != (((x.ndim - 1,), (0,)), ((), ())) or precision is not None:
        raise ValueError(f"Only the product of a dense layer is implemented, not {dimension_numbers}.")
    # Flattened to two axes, so that forward and backward pass are plain matrix products.
    return _product(x.reshape(-1, x.shape[-1]), w_DF).reshape(*x.shape[:-1], w_DF.shape[-1])
