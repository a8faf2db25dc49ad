"""The engine that takes whichever of the two is faster: on an accelerator jax; on a CPU jax for most t-SNEs.

On one thread, as workers have, jax takes less than a tenth of the time of scikit-learn's t-SNE of some hundred points
(docs/speed.md):

    .venv/bin/python -m benchmarks.tsne

The rest is as fast with numpy, or a matter of milliseconds. A program costs seconds of compilation for each shape. So
small t-SNEs, which never save as much, stay with scikit-learn, and a run of them does not even load jax.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property

from clusterlm_jax.analysis.scoring.requests import Answer, Coordinates, Engine, Request
from clusterlm_jax.analysis.scoring.scikit import SklearnEngine
from clusterlm_jax.analysis.spec import AnalysisSpec

LEAST_POINT_STEPS = 100_000  # of t-SNE, points times iterations: above, scikit-learn takes half a second or more
MOST_POINTS = 5_000  # of t-SNE: above, the pairs take longer than the tree


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
        large = [self._is_large(request) for request in requests]
        found = {}
        for is_large in sorted(set(large)):
            engine = self._jax if is_large else self._sklearn
            places = [place for place, at in enumerate(large) if at == is_large]
            found |= zip(places, engine.answer([requests[place] for place in places]), strict=True)
        return [found[place] for place in range(len(requests))]

    def _is_large(self, request: Request) -> bool:
        """Whether jax is the faster one on a CPU, and no worse."""
        if not isinstance(request, Coordinates):
            return False
        points = len(request.hidden_ND)
        enough = points * self._spec.tsne_iterations >= LEAST_POINT_STEPS
        return enough and points <= MOST_POINTS
