"""Which epoch of a phase is the best."""

from __future__ import annotations

import pytest

from clusterlm_jax.training.phase import ACCURACY, LOSS, Criterion


@pytest.mark.parametrize(("criterion", "best"), [(ACCURACY, 1), (LOSS, 0)])
def test_the_best_epoch_is_the_earliest_of_equal_ones(criterion: Criterion, best: int):
    values = [0.2, 0.9, 0.9, 0.2]
    chosen = 0
    for epoch, value in enumerate(values):
        if criterion.better(value, than=values[chosen]):
            chosen = epoch
    assert chosen == best
