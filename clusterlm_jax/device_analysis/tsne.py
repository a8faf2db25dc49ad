"""Exact t-SNE (van der Maaten and Hinton, 2008) with the schedule of scikit-learn, for any number of components.

Every pair of points counts in every step. With one product of matrices a step, that is faster on one CPU core than the
Barnes-Hut tree for some thousand points, and on an accelerator for all that fit into memory.

All is float32. What decides about neighbours is done before, in float64: see `pairs`. Products of matrices need full
float32 (`jax.default_matmul_precision("float32")`): a GPU else rounds their factors to 10 bits.

Letters: N, instance; D, width; A, axis of the space of coordinates.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

# As in scikit-learn 1.9, sklearn/manifold/_t_sne.py.
EXAGGERATION = 12.0  # of the attraction in the first phase
EXAGGERATED_STEPS = 250
MOMENTUM = (0.5, 0.8)  # of the two phases
LEAST_GAIN = 0.01
LEAST_GRADIENT = 1e-7  # the norm below which the descent ends
STEPS_A_CHECK = 50
PATIENCE = (EXAGGERATED_STEPS, 300)  # steps without a lower divergence, after which a phase ends
START_DEVIATION = 1e-4  # of the first coordinate

ENTROPY_TOLERANCE = 1e-5
BISECTIONS = 64  # at most; some 25 are needed
POWER_ITERATIONS = 8  # of the start, which need not be exact
OVERSAMPLING = 8


def tsne(
    hidden_ND: jax.Array, distance_NN: jax.Array, *, perplexity: float, components: int, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Coordinates of one set of points, float32 [N, A], and their Kullback-Leibler divergence.

    Args:
      hidden_ND: float32, for the start; not all points are equal.
      distance_NN: squared distances of all pairs, float32.
      iterations: steps of the descent, of both phases.
    """
    start_NA = principal_components(hidden_ND, components)
    return _descend(start_NA, affinities(distance_NN, perplexity), iterations)


def principal_components(hidden_ND: jax.Array, components: int) -> jax.Array:
    """The first principal components, the first of which has the deviation `START_DEVIATION`; by subspace iteration."""
    centred_ND = hidden_ND - hidden_ND.mean(axis=0, keepdims=True)
    centred_ND /= jnp.abs(centred_ND).max()  # squares of squares stay in the range of float32
    size = min(components + OVERSAMPLING, *hidden_ND.shape)
    basis = jax.random.normal(jax.random.key(0), (hidden_ND.shape[1], size), hidden_ND.dtype)

    def power(_: int, basis: jax.Array) -> jax.Array:
        return jnp.linalg.qr(centred_ND.T @ (centred_ND @ basis))[0]

    basis = lax.fori_loop(0, POWER_ITERATIONS, power, basis)
    left, size_A, _ = jnp.linalg.svd(centred_ND @ basis, full_matrices=False)
    component_NA = left[:, :components] * size_A[None, :components]
    return component_NA * (START_DEVIATION / component_NA[:, 0].std())


def affinities(distance_NN: jax.Array, perplexity: float) -> jax.Array:
    """How near each pair is, symmetric, summing to 1: normal kernels whose width gives every point the perplexity.

    More than so many equal points share their affinity equally, as no width is narrow enough.
    """
    itself_NN = jnp.eye(len(distance_NN), dtype=bool)
    # From the nearest: the largest term of each sum is then 1, and cannot vanish.
    from_nearest_NN = distance_NN - jnp.where(itself_NN, jnp.inf, distance_NN).min(axis=1, keepdims=True)
    from_nearest_NN = jnp.where(itself_NN, jnp.inf, from_nearest_NN)
    finite_NN = jnp.where(itself_NN, 0, from_nearest_NN)
    wanted = jnp.log(perplexity)

    def entropy(precision_N: jax.Array) -> tuple[jax.Array, jax.Array]:
        near_NN = jnp.exp(-precision_N[:, None] * from_nearest_NN)
        sum_N = near_NN.sum(axis=1)
        return jnp.log(sum_N) + precision_N * (finite_NN * near_NN).sum(axis=1) / sum_N, near_NN / sum_N[:, None]

    def bisect(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        precision_N, low_N, high_N, _, step = state
        excess_N = entropy(precision_N)[0] - wanted
        low_N, high_N = jnp.where(excess_N > 0, precision_N, low_N), jnp.where(excess_N > 0, high_N, precision_N)
        done_N = jnp.abs(excess_N) <= ENTROPY_TOLERANCE
        middle_N = jnp.where(jnp.isinf(high_N), 2 * low_N, (low_N + high_N) / 2)
        return jnp.where(done_N, precision_N, middle_N), low_N, high_N, done_N.all(), step + 1

    scale_N = 1 / jnp.maximum(finite_NN.mean(axis=1), jnp.finfo(jnp.float32).tiny)
    start = scale_N, jnp.zeros_like(scale_N), jnp.full_like(scale_N, jnp.inf), False, 0
    precision_N, *_ = lax.while_loop(lambda state: ~state[3] & (state[4] < BISECTIONS), bisect, start)
    near_NN = entropy(precision_N)[1]
    return (near_NN + near_NN.T) / (2 * len(near_NN))


def _descend(place_NA: jax.Array, near_NN: jax.Array, iterations: int) -> tuple[jax.Array, jax.Array]:
    """Gradient descent in two phases, the first of them with the attraction exaggerated."""

    def phase(number: int, place_NA: jax.Array) -> jax.Array:
        steps = jnp.where(number == 0, EXAGGERATED_STEPS, iterations - EXAGGERATED_STEPS)
        attraction = jnp.where(number == 0, EXAGGERATION, 1.0)
        momentum, patience = jnp.array(MOMENTUM)[number], jnp.array(PATIENCE)[number]

        def check(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            moving, at, best, best_at, _ = state
            moving = lax.fori_loop(
                0,
                STEPS_A_CHECK,
                lambda step, moving: _step(moving, near_NN * attraction, momentum, at + step < steps),
                moving,
            )
            at = jnp.minimum(at + STEPS_A_CHECK, steps)
            divergence = _divergence(moving[0], near_NN * attraction)
            best, best_at = jnp.minimum(divergence, best), jnp.where(divergence < best, at, best_at)
            done = (at >= steps) | (at - best_at > patience) | (moving[3] <= LEAST_GRADIENT)
            return moving, at, best, best_at, done

        still = jnp.zeros_like(place_NA)
        start = (place_NA, still, still + 1, jnp.inf), 0, jnp.inf, 0, steps <= 0
        return lax.while_loop(lambda state: ~state[-1], check, start)[0][0]

    place_NA = lax.fori_loop(0, 2, phase, place_NA)
    return place_NA, _divergence(place_NA, near_NN)


def _step(
    moving: tuple[jax.Array, ...], near_NN: jax.Array, momentum: jax.Array, go: jax.Array
) -> tuple[jax.Array, ...]:
    """One step of all points: their places, velocities and gains, and the norm of the gradient; none unless `go`."""
    place_NA, velocity_NA, gain_NA, _ = moving
    gradient_NA = _gradient(place_NA, near_NN)
    gain = jnp.where(velocity_NA * gradient_NA < 0, gain_NA + 0.2, gain_NA * 0.8)
    gain = jnp.maximum(gain, LEAST_GAIN)
    rate = max(len(place_NA) / EXAGGERATION / 4, 50.0)
    velocity = momentum * velocity_NA - rate * gain * gradient_NA
    new = place_NA + velocity, velocity, gain, jnp.linalg.norm(gain * gradient_NA)
    return jax.tree.map(partial(jnp.where, go), new, moving)


def _gradient(place_NA: jax.Array, near_NN: jax.Array) -> jax.Array:
    """The direction that scikit-learn goes: of its `_kl_divergence`, where the kernel itself weighs each difference.

    With one degree of freedom that is the gradient of the divergence; with more, that would have another power of it.
    """
    kernel_NN, freedom = _kernel(place_NA)
    one_N1 = jnp.ones_like(place_NA[:, :1])
    # Sums as products of matrices: XLA adds a long row on a CPU one number after the other.
    total = (kernel_NN @ one_N1).sum()
    pull_NN = (near_NN - kernel_NN / total) * kernel_NN
    pulled = pull_NN @ jnp.concatenate([place_NA, one_N1], axis=1)
    return 2 * (freedom + 1) / freedom * (place_NA * pulled[:, -1:] - pulled[:, :-1])


def _kernel(place_NA: jax.Array) -> tuple[jax.Array, int]:
    """Student's t of each pair, not normed, and its degrees of freedom: the components less one, at least one."""
    freedom = max(place_NA.shape[1] - 1, 1)
    distance_NN = sum(jnp.square(place_N[:, None] - place_N[None]) for place_N in place_NA.T)
    # (1 + d / f) ** -((f + 1) / 2), as a whole power of a root: a general power would be most of the time.
    kernel_NN = lax.integer_pow(lax.rsqrt(1 + distance_NN / freedom), freedom + 1)
    # A point has none with itself. Subtracted from sums instead, these ones would leave no digits of small sums.
    return jnp.where(jnp.eye(len(place_NA), dtype=bool), 0, kernel_NN), freedom


def _divergence(place_NA: jax.Array, near_NN: jax.Array) -> jax.Array:
    """The Kullback-Leibler divergence of the space from the affinities."""
    kernel_NN, _ = _kernel(place_NA)
    # Of each by itself: the product of small numbers may vanish.
    log_near_NN, log_kernel_NN = (jnp.log(jnp.maximum(a, jnp.finfo(jnp.float32).tiny)) for a in (near_NN, kernel_NN))
    return (near_NN * (log_near_NN - log_kernel_NN)).sum() + jnp.log(kernel_NN.sum())
