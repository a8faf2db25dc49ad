"""Distances of pairs of points, and what is counted with them: neighbours, shares of neighbours, silhouettes.

Distances are float64, from one product of matrices: |x|^2 - 2xy + |y|^2. In float32 that would lose the digits that
tell near neighbours apart. Equal points must have exactly equal distances, which rounding would spoil: at layer 0 only
25 points are distinct. So distances are of distinct points (`distinct`), and all instances at one point share them.

Letters: N, instance; M, distinct point; Q, query; D, width; G, group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

BLOCK = 1024  # queries compared at a time, which bounds the memory


def distinct(points_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct points [M, D], and which of them each instance is at, int [N].

    Raises:
      ValueError: some numbers are not finite.
    """
    if not np.isfinite(points_ND).all():
        raise ValueError("The points have numbers that are not finite.")
    row_ND = points_ND + 0.0  # of the two zeros, which have other bytes, the positive one
    number_of: dict[bytes, int] = {}  # a dict: to sort wide rows takes ten times as long
    point_N = np.array([number_of.setdefault(row_D.tobytes(), len(number_of)) for row_D in row_ND], np.int32)
    return row_ND[np.unique(point_N, return_index=True)[1]], point_N


@jax.jit
def squared_distances(point_MD: jax.Array) -> jax.Array:
    """Of all pairs of distinct points, float64 [M, M]; exactly 0 of a point with itself."""
    row = _rows_to(point_MD)
    distance_MM = lax.map(row, point_MD, batch_size=BLOCK)
    return jnp.where(jnp.eye(len(point_MD), dtype=bool), 0, distance_MM)


@partial(jax.jit, static_argnames="neighbours")
def nearest(query_QD: jax.Array, point_MD: jax.Array, point_N: jax.Array, neighbours: int) -> jax.Array:
    """The nearest instances of each query, nearest first, [query, neighbour]. Ties go to the lower index.

    Args:
      point_MD, point_N: distinct points, and which of them each of the N instances is at.
    """
    row = _rows_to(point_MD)
    return lax.map(lambda query_D: lax.top_k(-row(query_D)[point_N], neighbours)[1], query_QD, batch_size=BLOCK)


@partial(jax.jit, static_argnames="neighbours")
def across_shares(
    query_QD: jax.Array,
    queries: Mapping[str, jax.Array],
    point_MD: jax.Array,
    point_N: jax.Array,
    references: Mapping[str, jax.Array],
    neighbours: int,
) -> jax.Array:
    """As `analysis.instruments.across.across_scores`, [score, 2]; the points are as in `nearest`."""
    row = _rows_to(point_MD)

    def of_query(query: tuple[jax.Array, Mapping[str, jax.Array]]) -> jax.Array:
        query_D, labels = query
        distance_N = row(query_D)[point_N]
        same_N = {name: references[name] == labels[name] for name in references}
        other_N = ~same_N["distribution"]
        among = [other_N]
        if "input" in same_N:
            among += [other_N & same_N["input"], other_N & ~same_N["input"]]
        return jnp.stack([_shares(distance_N, same_N["task"], allowed_N, neighbours) for allowed_N in among])

    return jnp.nanmean(lax.map(of_query, (query_QD, queries), batch_size=BLOCK), axis=0)


def _shares(distance_N: jax.Array, same_task_N: jax.Array, allowed_N: jax.Array, neighbours: int) -> jax.Array:
    """Share of the query's task among its nearest candidates, those at the last distance in equal parts, and among all.

    Both are nan if no candidate has the task.
    """
    allowed = allowed_N.sum()
    wanted = jnp.minimum(neighbours, allowed)
    distance_N = jnp.where(allowed_N, distance_N, jnp.inf)
    last = -lax.top_k(-distance_N, min(neighbours, len(distance_N)))[0][jnp.maximum(wanted - 1, 0)]
    nearer_N, tied_N = distance_N < last, allowed_N & (distance_N == last)
    part = (wanted - nearer_N.sum()) / jnp.maximum(tied_N.sum(), 1)
    hits = (same_task_N & nearer_N).sum() + part * (same_task_N & tied_N).sum()
    there = (same_task_N & allowed_N).sum()
    shares = jnp.stack([hits / jnp.maximum(wanted, 1), there / jnp.maximum(allowed, 1)])
    return jnp.where(there > 0, shares, jnp.nan)


@partial(jax.jit, static_argnames="groups")
def silhouettes(distance_MM: jax.Array, point_N: jax.Array, labels: jax.Array, groups: int) -> jax.Array:
    """The mean silhouette of each label, [label].

    Args:
      distance_MM: distances of distinct points, not squared.
      point_N: which of them each instance is at.
      labels: [label, N], values from 0 to at most `groups` - 1.
    """

    def of_label(group_N: jax.Array) -> jax.Array:
        count_MG = jnp.zeros((len(distance_MM), groups)).at[point_N, group_N].add(1)
        sum_NG, size_G = (distance_MM @ count_MG)[point_N], count_MG.sum(axis=0)
        own_NG = group_N[:, None] == jnp.arange(groups)[None]
        size_N = size_G[group_N]
        inside_N = (sum_NG * own_NG).sum(axis=1) / jnp.maximum(size_N - 1, 1)
        outside_NG = sum_NG / jnp.maximum(size_G, 1)[None]
        outside_N = jnp.where(own_NG | (size_G == 0)[None], jnp.inf, outside_NG).min(axis=1)
        larger_N = jnp.maximum(inside_N, outside_N)
        alone_N = (size_N == 1) | (larger_N == 0)  # by definition 0
        return jnp.where(alone_N, 0, (outside_N - inside_N) / jnp.where(alone_N, 1, larger_N)).mean()

    return lax.map(of_label, labels)


def _rows_to(point_MD: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A function from a query to its squared distances to the points, float64 [M]."""
    # Both are moved to where their numbers are small, which leaves their distances as they are.
    centre_D = point_MD.mean(axis=0, dtype=jnp.float64)
    centred_MD = point_MD - centre_D[None]
    square_M = jnp.square(centred_MD).sum(axis=1)

    def row(query_D: jax.Array) -> jax.Array:
        query_D = query_D - centre_D
        return jnp.maximum(square_M - 2 * (centred_MD @ query_D) + jnp.square(query_D).sum(), 0)

    return row
