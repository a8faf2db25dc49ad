"""The engine that takes whichever of the two is faster: on an accelerator jax; on a CPU it depends on the request.

The bounds are measured, for one thread, as workers have (docs/speed.md):

    .venv/bin/python -m benchmarks.tsne
    .venv/bin/python -m benchmarks.kmeans

A program costs two to four seconds of compilation for each shape. So small problems, which would never save that much,
stay with scikit-learn, and a run of them does not even load jax.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from clusterlm_jax.analysis.scoring.requests import Answer, Clusters, Coordinates, Engine, Request
from clusterlm_jax.analysis.scoring.scikit import SklearnEngine
from clusterlm_jax.analysis.spec import AnalysisSpec

LEAST_POINT_STEPS = 100_000  # of t-SNE, points times iterations: above, scikit-learn takes half a second or more
MOST_POINTS = 5_000  # of t-SNE: above, the pairs take longer than the tree
LEAST_PRODUCTS = 1 << 24  # of KMeans, numbers of the points times clusters: above, jax saves .2 s or more


class AutoEngine:
    """Implements `analysis.scoring.requests.Engine`."""

    def __init__(self, spec: AnalysisSpec) -> None:
        self._spec, self._sklearn = spec, SklearnEngine(spec)

    @cached_property
    def central(self) -> bool:
        # Workers are told so, and then need not load jax to ask it.
        return os.environ.get("JAX_PLATFORMS") != "cpu" and self._jax.central

    @cached_property
    def _jax(self) -> Engine:
        from clusterlm_jax.device_analysis.engine import JaxEngine  # loads jax

        return JaxEngine(self._spec)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        if self.central:
            return self._jax.answer(requests)
        return [(self._jax if self._is_large(request) else self._sklearn).answer([request])[0] for request in requests]

    def _is_large(self, request: Request) -> bool:
        """Whether jax is the faster one on a CPU."""
        match request:
            case Coordinates(hidden_ND):
                point_steps = len(hidden_ND) * self._spec.tsne_iterations
                return point_steps >= LEAST_POINT_STEPS and len(hidden_ND) <= MOST_POINTS
            case Clusters(points_ND, clusters):
                return np.size(points_ND) * clusters >= LEAST_PRODUCTS
        return False
