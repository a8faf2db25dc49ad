"""What the analysis asks of an engine: states in; labels, neighbours and coordinates out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Coordinates(NamedTuple):
    """A request for t-SNE coordinates, float32 [instance, component]; all zero if all states are equal."""

    hidden_ND: np.ndarray
    seed: int


class Clusters(NamedTuple):
    """A request for KMeans clusters, int [instance]. There are fewer if there are fewer distinct points."""

    points_ND: np.ndarray | Coordinates  # coordinates that are asked for in the same breath are found once
    clusters: int
    seed: int


class Neighbours(NamedTuple):
    """A request for the nearest references of each query, nearest first, int [query, neighbour]; see `nearest`."""

    query_QD: np.ndarray
    reference_ND: np.ndarray
    neighbours: int


class Across(NamedTuple):
    """A request for the mean shares and chances of `across_scores`, float [score, 2]."""

    query_QD: np.ndarray
    queries: Mapping[str, np.ndarray]
    reference_ND: np.ndarray
    references: Mapping[str, np.ndarray]
    neighbours: int


class Silhouettes(NamedTuple):
    """A request for the mean silhouette of each label, float [label]; see `silhouette`."""

    hidden_ND: np.ndarray
    labels: tuple[np.ndarray, ...]


class Predictions(NamedTuple):
    """A request for the classes that a linear probe, fitted to N instances, gives M others of several groups, [M]."""

    fitted_ND: np.ndarray
    class_N: np.ndarray
    asked: tuple[np.ndarray, ...]  # of each group [instance, width]


Request = Coordinates | Clusters | Neighbours | Across | Silhouettes | Predictions


class Answer(NamedTuple):
    """What was asked for, and the backend that found it: "sklearn" or "jax"."""

    array: np.ndarray
    backend: str


class Engine(Protocol):
    """The interface that analysis backends have.

    Attributes:
      central: whether one engine, in the process that trains, answers for all workers, because it has an accelerator,
        which takes all cells of an epoch at once. Else every worker has an engine of its own.
    """

    central: bool

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """An answer for each request, in their order. The points of `Clusters` are arrays here."""


def answers(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """An answer for each request, in their order: first all others, then the clusters in coordinates among them."""
    waiting = [isinstance(request, Clusters) and isinstance(request.points_ND, Coordinates) for request in requests]
    first = [request for request, waits in zip(requests, waiting, strict=True) if not waits]
    found = {id(request): answer for request, answer in zip(first, engine.answer(first), strict=True)}
    last = [request for request, waits in zip(requests, waiting, strict=True) if waits]
    known = [request._replace(points_ND=found[id(request.points_ND)].array) for request in last]
    found |= {id(request): answer for request, answer in zip(last, engine.answer(known), strict=True)}
    return [found[id(request)] for request in requests]
