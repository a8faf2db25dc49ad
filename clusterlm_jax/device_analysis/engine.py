"""The engine in jax: requests of one shape are answered together, by one program (`problems`)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from clusterlm_jax.analysis.clustering import check_tsne, is_one_point
from clusterlm_jax.analysis.instruments.probe import INVERSE_PENALTY, ITERATIONS
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
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.device_analysis import kmeans, pairs, probe, tsne
from clusterlm_jax.device_analysis.problems import Problem, filled, padded, solve

Points = tuple[np.ndarray, np.ndarray]  # as from `pairs.distinct`


class JaxEngine:
    """Implements `analysis.scoring.requests.Engine`."""

    def __init__(self, spec: AnalysisSpec) -> None:
        self._spec = spec
        self.central = jax.default_backend() != "cpu"

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        found, problems = {}, {}
        points = _Distinct()
        # In full float32: the default of a GPU would round the factors of every product to 10 bits.
        with jax.default_matmul_precision("float32"):
            for place, request in enumerate(requests):
                match request:
                    case Coordinates():
                        answer = self._coordinates(request, points)
                    case Clusters():
                        answer = self._clusters(request, points)
                    case Predictions():
                        answer = _predictions(request)
                    case Neighbours():
                        answer = _neighbours(request, points)
                    case Across():
                        answer = _across(request, points)
                    case Silhouettes():
                        answer = _silhouettes(request, points)
                (problems if isinstance(answer, Problem) else found)[place] = answer
            found |= dict(zip(problems, solve([*problems.values()]), strict=True))
        return [Answer(found[place], "jax") for place in range(len(requests))]

    def _coordinates(self, request: Coordinates, points: _Distinct) -> Problem | np.ndarray:
        hidden_ND, spec = request.hidden_ND, self._spec
        check_tsne(hidden_ND, spec)
        if is_one_point(hidden_ND):
            return np.zeros((len(hidden_ND), spec.tsne_components), np.float32)
        _, point_N = points.of(hidden_ND)
        distance_NN = points.squared_distances(hidden_ND).astype(np.float32)[point_N][:, point_N]
        settings = {
            "perplexity": spec.tsne_perplexity,
            "components": spec.tsne_components,
            "iterations": spec.tsne_iterations,
        }
        return Problem(
            tsne.tsne,
            (hidden_ND.astype(np.float32), distance_NN),
            settings,
            distance_NN.size,
            lambda place_NA, _: place_NA,
        )

    def _clusters(self, request: Clusters, points: _Distinct) -> Problem | np.ndarray:
        point_MD, point_N = points.of(request.points_ND)
        if len(point_MD) <= request.clusters:
            return point_N  # a cluster each
        size, most = padded(len(point_MD)), padded(request.clusters)
        weight_M = filled(np.bincount(point_N).astype(np.float32), size)
        drawn = kmeans.draws(request.seed, self._spec.kmeans_restarts, most)
        arrays = filled(point_MD.astype(np.float32), size), weight_M, np.int32(request.clusters), drawn
        settings = {"iterations": self._spec.kmeans_iterations}
        numbers = max(len(drawn) * size * most, size * size)
        return Problem(kmeans.kmeans, arrays, settings, numbers, lambda cluster_M, _: cluster_M[point_N])


def _predictions(request: Predictions) -> Problem:
    fitted_ND, class_N, asked = request
    classes, code_N = np.unique(class_N, return_inverse=True)
    asked_MD = np.concatenate(asked)
    size, most = padded(len(fitted_ND)), padded(len(classes))
    arrays = (
        filled(fitted_ND.astype(np.float32), size),
        filled(code_N.astype(np.int32), size),
        filled(np.ones(len(code_N), np.float32), size),
        np.int32(len(classes)),
        filled(asked_MD.astype(np.float32), padded(len(asked_MD))),
    )
    settings = {"most": most, "inverse_penalty": INVERSE_PENALTY, "iterations": ITERATIONS}
    return Problem(probe.predict, arrays, settings, arrays[0].size, lambda code_M: classes[code_M[: len(asked_MD)]])


def _neighbours(request: Neighbours, points: _Distinct) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(
            pairs.nearest(
                request.query_QD, *points.of(request.reference_ND), min(request.neighbours, len(request.reference_ND))
            )
        )


def _across(request: Across, points: _Distinct) -> np.ndarray:
    names = [name for name in ("task", "distribution", "input") if name in request.references]
    queries, references = ({name: columns[name] for name in names} for columns in (request.queries, request.references))
    known = points.of(request.reference_ND)
    with jax.enable_x64(True):
        return np.asarray(pairs.across_shares(request.query_QD, queries, *known, references, request.neighbours))


def _silhouettes(request: Silhouettes, points: _Distinct) -> np.ndarray:
    _, point_N = points.of(request.hidden_ND)
    codes = np.stack([np.unique(label_N, return_inverse=True)[1] for label_N in request.labels])
    groups = codes.max(axis=1) + 1
    with jax.enable_x64(True):
        distance_MM = jnp.sqrt(points.squared_distances(request.hidden_ND))
        found = np.asarray(pairs.silhouettes(distance_MM, point_N, codes, padded(int(groups.max()))))
    return np.where((groups > 1) & (groups < len(point_N)), found, np.nan)


class _Distinct:
    """The distinct points of arrays, and their distances, found once for each array."""

    def __init__(self) -> None:
        self._points: dict[int, Points] = {}
        self._distances: dict[int, jax.Array] = {}
        self._alive: list[np.ndarray] = []

    def of(self, points_ND: np.ndarray) -> Points:
        if id(points_ND) not in self._points:
            self._alive.append(points_ND)
            self._points[id(points_ND)] = pairs.distinct(points_ND)
        return self._points[id(points_ND)]

    def squared_distances(self, points_ND: np.ndarray) -> jax.Array:
        if id(points_ND) not in self._distances:
            with jax.enable_x64(True):
                self._distances[id(points_ND)] = pairs.squared_distances(self.of(points_ND)[0])
        return self._distances[id(points_ND)]
