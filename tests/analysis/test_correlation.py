"""Pearson's r over the epochs two curves share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from clusterlm_jax.analysis.correlation import correlate, pearson


def test_equals_scipy() -> None:
    x_E, y_E = np.random.default_rng(0).standard_normal((2, 12))
    assert pearson(x_E, y_E) == pytest.approx(pearsonr(x_E, y_E).statistic)


def test_only_shared_epochs_count_and_by_epoch_not_by_order() -> None:
    performance = {0: 0.0, 1: 9.0, 5: 0.5, 10: 1.0}
    clustering = {10: 3.0, 5: 2.0, 0: 1.0, 7: -8.0}
    assert correlate(performance, clustering) == pytest.approx(1)
    assert correlate({epoch: -value for epoch, value in performance.items()}, clustering) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("one", "other"),
    [({}, {}), ({0: 1.0}, {0: 2.0}), ({0: 1.0, 1: 2.0}, {2: 1.0}), ({0: 1.0, 1: 1.0}, {0: 1.0, 1: 2.0})],
    ids=["empty", "one epoch", "none shared", "constant"],
)
def test_nothing_to_correlate_is_nan(one: dict[int, float], other: dict[int, float]) -> None:
    assert math.isnan(correlate(one, other))
    assert math.isnan(correlate(other, one))
