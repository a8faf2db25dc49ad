"""The probe in jax finds the minimum of scikit-learn's objective."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clusterlm_jax.analysis.scoring.requests import Predictions
from clusterlm_jax.analysis.scoring.scikit import SklearnEngine
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.device_analysis import probe
from clusterlm_jax.device_analysis.engine import JaxEngine

INSTANCES, WIDTH = 90, 6
FIT = jax.jit(probe.fit, static_argnames=("most", "iterations"))


def states(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    class_N = rng.integers(0, classes, INSTANCES)
    return (rng.normal(size=(classes, WIDTH))[class_N] + rng.normal(size=(INSTANCES, WIDTH))).astype(
        np.float32
    ), class_N


@pytest.mark.parametrize("classes", [2, 5])
def test_the_weights_are_those_of_scikit_learn(classes: int) -> None:
    """Padded with instances of no weight and classes that are none. Breaks with another penalty."""
    state_ND, class_N = states(classes)
    padded_ND, padded_N = np.pad(state_ND, ((0, 6), (0, 0)), constant_values=9), np.pad(class_N, (0, 6))
    weight_N = (np.arange(INSTANCES + 6) < INSTANCES).astype(np.float32)
    found_DC, bias_C = FIT(padded_ND, padded_N, weight_N, classes, 1.0, most=6, iterations=200)
    expected = LogisticRegression(C=1.0, max_iter=1000, tol=1e-8).fit(state_ND, class_N)
    found_CD = np.asarray(found_DC).T[1:2] if classes == 2 else np.asarray(found_DC).T[:classes]
    np.testing.assert_allclose(found_CD, expected.coef_, atol=0.01)
    biases = bias_C[1:2] if classes == 2 else bias_C[:classes] - bias_C[:classes].mean()
    np.testing.assert_allclose(biases, expected.intercept_ - expected.intercept_.mean() * (classes > 2), atol=0.01)
    assert np.isneginf(bias_C[classes:]).all()


def test_predictions_are_the_same_in_the_order_they_were_asked_for() -> None:
    """Classes of any numbers; an empty group."""
    state_ND, class_N = states(5)
    other_MD = np.random.default_rng(0).normal(size=(70, WIDTH)).astype(np.float32)
    request = Predictions(state_ND, 100 - 3 * class_N, (other_MD, other_MD[:0], state_ND[:20]))
    engines = SklearnEngine(AnalysisSpec()), JaxEngine(AnalysisSpec())
    expected, found = (engine.answer([request])[0].array for engine in engines)
    assert len(found) == len(expected) == 90
    assert (found == expected).mean() > 0.97
