"""KMeans as scikit-learn does it: greedy k-means++, Lloyd's algorithm, the best of several starts.

It clusters distinct points, each with the number of instances there as its weight. Problems of one shape are padded
with points of weight 0 and with clusters that no point may join, and solved side by side.

Sums over the points of a cluster are products with a matrix of zeros and ones. An accelerator then adds them in the
same order every time, and fast.

Letters: M, distinct point; D, width; K, cluster; P, point that is tried as a centre.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

TOLERANCE = 1e-4  # of the squared shift of the centres, relative to the variance of the points; as scikit-learn's


def kmeans(
    point_MD: jax.Array, weight_M: jax.Array, clusters: jax.Array, drawn: jax.Array, *, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """The cluster of each point and the inertia, of the start that ends with the lowest.

    Args:
      point_MD, weight_M: float32 distinct points, and how many instances are there; more than `clusters`.
      clusters: how many to find.
      drawn: numbers as from `draws`, as many starts as KMeans shall have.
      iterations: of Lloyd's algorithm, at most.
    """
    mean_D = weight_M @ point_MD / weight_M.sum()
    point_MD = (point_MD - mean_D[None]) * (weight_M > 0)[:, None]
    variance = (weight_M @ jnp.square(point_MD)).mean() / weight_M.sum()
    is_cluster_K = jnp.arange(drawn.shape[1]) < clusters

    square_M = jnp.square(point_MD).sum(axis=1)
    distance_MM = jnp.maximum(square_M[:, None] - 2 * point_MD @ point_MD.T + square_M[None], 0)  # for all starts

    def start(drawn_KP: jax.Array) -> tuple[jax.Array, jax.Array]:
        centre_KD = point_MD[_plus_plus(distance_MM, weight_M, clusters, drawn_KP)]
        return _lloyd(point_MD, weight_M, centre_KD, is_cluster_K, TOLERANCE * variance, iterations)

    clusters_M, inertias = jax.vmap(start)(drawn)
    best = inertias.argmin()
    return clusters_M[best], inertias[best]


def draws(seed: int, starts: int, most: int) -> np.ndarray:
    """What KMeans draws for at most so many clusters: numbers in [0, 1), float32 [start, cluster, trial]."""
    return np.random.default_rng(seed).random((starts, most, 2 + int(math.log(most))), np.float32)


def _plus_plus(distance_MM: jax.Array, weight_M: jax.Array, clusters: jax.Array, drawn_KP: jax.Array) -> jax.Array:
    """Indices of the first centres, each the best of P points drawn by their squared distance to those before."""

    def draw(density_M: jax.Array, drawn_P: jax.Array) -> jax.Array:
        below_M = _cumulative(density_M)
        # Below the whole, also when rounded: a point beyond the last possible one may be padding.
        return (below_M[None] <= drawn_P[:, None] * (below_M[-1] * (1 - 1e-6))).sum(axis=1)

    def choose(place: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        index_K, nearest_M = state
        tried_P = draw(nearest_M * weight_M, drawn_KP[place])
        nearest_PM = jnp.minimum(nearest_M[None], distance_MM[tried_P])
        best = (nearest_PM @ weight_M).argmin()
        return index_K.at[place].set(tried_P[best]), nearest_PM[best]

    first = draw(weight_M, drawn_KP[0, :1])
    start = jnp.zeros(len(drawn_KP), first.dtype).at[0].set(first[0]), distance_MM[first[0]]
    return lax.fori_loop(1, clusters, choose, start)[0]


def _cumulative(number_M: jax.Array) -> jax.Array:
    """The sums of the numbers up to each. Two small products: `jnp.cumsum` takes XLA long to compile."""
    width = 1 << (len(number_M).bit_length() // 2)
    rows = jnp.pad(number_M, (0, -len(number_M) % width)).reshape(-1, width)
    inside = rows @ jnp.triu(jnp.ones((width, width)))
    before = jnp.tril(jnp.ones((len(rows), len(rows))), -1) @ inside[:, -1:]
    return (inside + before).ravel()[: len(number_M)]


def _lloyd(
    point_MD: jax.Array,
    weight_M: jax.Array,
    centre_KD: jax.Array,
    is_cluster_K: jax.Array,
    tolerance: jax.Array,
    iterations: int,
) -> tuple[jax.Array, jax.Array]:
    """The cluster of each point, where the centres no longer move, and the inertia."""

    def assign(centre_KD: jax.Array) -> jax.Array:
        square_K = jnp.where(is_cluster_K, jnp.square(centre_KD).sum(axis=1), jnp.inf)
        return (square_K[None] - 2 * point_MD @ centre_KD.T).argmin(axis=1).astype(jnp.int32)

    def from_own_M(cluster_M: jax.Array, centre_KD: jax.Array) -> jax.Array:
        return jnp.square(point_MD - centre_KD[cluster_M]).sum(axis=1)

    def iterate(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        centre_KD, before_M, step, _ = state
        cluster_M = assign(centre_KD)
        # A cluster that lost all its points gets the one that is farthest from its centre, the next the next.
        distance_M = jnp.where(weight_M > 0, from_own_M(cluster_M, centre_KD), -1)
        there_K = jnp.zeros(len(centre_KD)).at[cluster_M].max(weight_M)
        empty_K = is_cluster_K & (there_K == 0)
        farthest_K = lax.top_k(distance_M, len(centre_KD))[1][jnp.cumsum(empty_K) - 1]
        joins_K = jnp.where(empty_K, farthest_K, len(point_MD))  # beyond the last point: nowhere
        moved_M = cluster_M.at[joins_K].set(jnp.arange(len(centre_KD), dtype=jnp.int32), mode="drop")
        member_KM = (moved_M[None] == jnp.arange(len(centre_KD))[:, None]) * weight_M[None]
        new_KD = member_KM @ point_MD / jnp.maximum(member_KM.sum(axis=1), 1)[:, None]
        same = (cluster_M == before_M).all()
        still = jnp.square(new_KD - centre_KD).sum() <= tolerance
        return new_KD, cluster_M, step + 1, same | still

    start = centre_KD, jnp.full(len(point_MD), -1, jnp.int32), 0, False
    centre_KD, *_ = lax.while_loop(lambda state: ~state[3] & (state[2] < iterations), iterate, start)
    cluster_M = assign(centre_KD)
    return cluster_M, weight_M @ from_own_M(cluster_M, centre_KD)
