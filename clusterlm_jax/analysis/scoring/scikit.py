"""The engine of scikit-learn, scipy and numpy: one request after another, on one thread. All others are held to it."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from clusterlm_jax.analysis.clustering import kmeans, tsne
from clusterlm_jax.analysis.instruments.across import across_scores
from clusterlm_jax.analysis.instruments.geometry import distances, silhouette
from clusterlm_jax.analysis.instruments.neighbours import nearest
from clusterlm_jax.analysis.instruments.probe import predictions
from clusterlm_jax.analysis.scoring.requests import (
    Across,
    Answer,
    Clusters,
    Coordinates,
    Neighbours,
    Predictions,
    Request,
    Silhouettes,
)
from clusterlm_jax.analysis.scoring.seeding import PlusPlus
from clusterlm_jax.analysis.spec import AnalysisSpec


class SklearnEngine:
    """Implements `requests.Engine`."""

    central = False

    def __init__(self, spec: AnalysisSpec) -> None:
        self._spec = spec

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        starts = collections.defaultdict(PlusPlus)  # by the points, so that clusterings of the same ones share it
        return [Answer(self._one(request, starts), "sklearn") for request in requests]

    def _one(self, request: Request, starts: Mapping[int, PlusPlus]) -> np.ndarray:
        match request:
            case Coordinates(hidden_ND, seed):
                return tsne(hidden_ND, seed, self._spec)
            case Clusters(points_ND, clusters, seed):
                return kmeans(points_ND, clusters, seed, self._spec, starts[id(points_ND)])
            case Neighbours():
                return nearest(*request)
            case Across():
                return np.array([*across_scores(*request).values()])
            case Silhouettes(hidden_ND, labels):
                distance_NN = distances(hidden_ND)
                return np.array([silhouette(distance_NN, label_N) for label_N in labels])
            case Predictions():
                return predictions(*request)
        raise TypeError(f"{type(request)} is no request.")
