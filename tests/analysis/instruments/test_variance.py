"""The share of variance that a label explains is eta squared of a one-way analysis of variance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway

from clusterlm_jax.analysis.instruments.variance import variance_share, without_group_means

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_equals_analysis_of_variance(offset: float) -> None:
    """F = (eta / (g - 1)) / ((1 - eta) / (n - g)) in one dimension.

    Breaks when sums are in float32, or when groups have equal weight whatever their size.
    """
    label_N = RANDOM.integers(0, 4, 60)
    hidden_N = offset + label_N + RANDOM.standard_normal(60)
    ratio = f_oneway(*(hidden_N[label_N == group] for group in range(4))).statistic * 3 / 56
    assert variance_share(hidden_N[:, None], label_N) == pytest.approx(ratio / (1 + ratio), rel=1e-6)


def test_equals_one_minus_the_share_within_groups() -> None:
    hidden_ND, label_N = RANDOM.standard_normal((60, 8)).astype(np.float32), RANDOM.integers(3, 9, 60)
    within = sum(
        ((hidden_ND[label_N == group] - hidden_ND[label_N == group].mean(axis=0)) ** 2).sum()
        for group in np.unique(label_N)
    )
    total = ((hidden_ND - hidden_ND.mean(axis=0)) ** 2).sum()
    assert variance_share(hidden_ND, label_N) == pytest.approx(1 - within / total, abs=1e-5)


def test_a_label_that_determines_the_state_explains_all() -> None:
    label_N = RANDOM.integers(0, 5, 60)
    hidden_ND = RANDOM.standard_normal((5, 8)).astype(np.float32)[label_N]
    assert variance_share(hidden_ND, label_N) == pytest.approx(1)
    assert variance_share(hidden_ND, np.zeros(60)) == pytest.approx(0, abs=1e-12)


def test_an_unrelated_label_explains_its_share_by_chance() -> None:
    """(g - 1) / (n - 1) on average over 200 permutations of the label; the standard error is about .001."""
    hidden_ND, label_N = RANDOM.standard_normal((60, 8)), np.arange(60) % 6
    shares = [variance_share(hidden_ND, RANDOM.permutation(label_N)) for _ in range(200)]
    assert np.mean(shares) == pytest.approx(5 / 59, abs=0.006)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 1 / 3])
def test_equal_states_have_nothing_to_explain(value: float) -> None:
    """Breaks when the mean is in float32: the mean of equal numbers need not be that number there."""
    assert variance_share(np.full((61, 8), value, np.float32), np.arange(61) % 4) == 0


def test_group_means_are_those_of_the_reference(rng: np.random.Generator) -> None:
    """A state minus its label's mean is computed label by label here."""
    reference_label_M = np.array([7, 3, 3, 7, 7, 3])
    reference_MD = rng.normal(size=(6, 4)).astype(np.float32)
    label_N, own_ND = np.array([3, 7, 3]), rng.normal(size=(3, 4)).astype(np.float32)
    mean_ND = np.stack([reference_MD[reference_label_M == label].mean(axis=0) for label in label_N])
    residual_ND = without_group_means(own_ND + mean_ND, label_N, reference_MD, reference_label_M)
    np.testing.assert_allclose(residual_ND, own_ND, atol=1e-6)


def test_removing_a_label_leaves_it_no_share_and_shows_the_other_label(rng: np.random.Generator) -> None:
    """States are a sum over task and input; the part of the input is ten times as large."""
    task_N, input_N = (column.ravel() for column in np.indices((4, 5)))
    task_KD, input_KD = rng.normal(size=(4, 6)), 10 * rng.normal(size=(5, 6))
    hidden_ND = (task_KD[task_N] + input_KD[input_N]).astype(np.float32)
    residual_ND = without_group_means(hidden_ND, input_N, hidden_ND, input_N)
    assert variance_share(hidden_ND, task_N) < 0.1
    assert variance_share(residual_ND, input_N) < 1e-6
    assert variance_share(residual_ND, task_N) > 1 - 1e-6
