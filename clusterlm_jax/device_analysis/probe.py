"""The linear probe: multinomial logistic regression with scikit-learn's penalty, by L-BFGS.

Letters: N, instance to learn from; D, width; C, class.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import lax

LARGEST_GRADIENT = 1e-4  # of any weight, where the fit ends; as scikit-learn's `tol`


def predict(
    state_ND: jax.Array,
    class_N: jax.Array,
    weight_N: jax.Array,
    classes: jax.Array,
    asked_MD: jax.Array,
    *,
    most: int,
    inverse_penalty: float,
    iterations: int,
) -> tuple[jax.Array]:
    """The classes that a probe, fitted to N instances, gives M others, int [M]. The arguments are those of `fit`."""
    weight_DC, bias_C = fit(state_ND, class_N, weight_N, classes, inverse_penalty, most=most, iterations=iterations)
    return ((asked_MD @ weight_DC + bias_C[None]).argmax(axis=1),)


def fit(
    state_ND: jax.Array,
    class_N: jax.Array,
    weight_N: jax.Array,
    classes: jax.Array,
    inverse_penalty: float,
    *,
    most: int,
    iterations: int,
) -> tuple[jax.Array, jax.Array]:
    """Weights [D, C] and biases [C]; the classes beyond `classes` have a bias of minus infinity.

    Args:
      weight_N: 1 for an instance, 0 for padding.
      classes: how many there are, from 0; at most `most`, which decides the shape of the program.
      iterations: at most.
    """
    is_class_C = jnp.arange(most) < classes
    # Of two classes only one has weights, as in scikit-learn: with both, the same penalty would allow longer ones.
    free_C = is_class_C & ((classes > 2) | (jnp.arange(most) > 0))

    def loss(weights: tuple[jax.Array, jax.Array]) -> jax.Array:
        weight_DC, bias_C = weights
        logits_NC = jnp.where(
            is_class_C[None], state_ND @ (weight_DC * free_C[None]) + (bias_C * free_C)[None], -jnp.inf
        )
        of_class_N = optax.softmax_cross_entropy_with_integer_labels(logits_NC, class_N)
        penalty = jnp.square(weight_DC * free_C[None]).sum() / (2 * inverse_penalty)
        return (weight_N @ of_class_N + penalty) / weight_N.sum()

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(state: tuple) -> tuple:
        weights, memory, count, _ = state
        value, gradient = value_and_grad(weights, state=memory)
        update, memory = solver.update(gradient, memory, weights, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(weights, update), memory, count + 1, optax.tree.norm(gradient, ord=jnp.inf)

    weights = jnp.zeros((state_ND.shape[1], most)), jnp.zeros(most)
    start = weights, solver.init(weights), 0, jnp.inf
    (weight_DC, bias_C), *_ = lax.while_loop(
        lambda state: (state[3] > LARGEST_GRADIENT) & (state[2] < iterations), step, start
    )
    return weight_DC * free_C[None], jnp.where(is_class_C, bias_C * free_C, -jnp.inf)
