"""The tests find what was planted: in the toy, the task is one direction after the first block, and none before."""

from __future__ import annotations

import numpy as np
import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.experiments.causal.interventions import Bench
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.experiments.causal.trained import pairs_of
from tests.experiments.causal.toy import INPUTS, TASKS, VALIDATION, toy

CONFIG = Causal(strengths=(1.0,), ranks=(1, 8), draws=2, symbols=(1, 64), eval=AnalysisSpec(kmeans_restarts=1))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CONFIG, toy())


@pytest.fixture(scope="module")
def shares(bench) -> dict:
    """(test, kind, amount, draw) -> outcome -> shares by layer: 0, 1, 2, final norm."""
    found = {}
    for measurement in bench.measurements():
        rows = measurement.run()
        assert len(rows) == len(measurement.layers)
        found[tuple(measurement.of)] = {name: [row[name] for row in rows] for name in rows[0]}
    return found


def test_the_toy_answers_right(bench):
    assert bench._trained.right_N.all()


def test_pairs_share_the_input_and_not_the_task(bench):
    columns, (own_N, other_N, alike_N) = bench._trained.validation, bench.pairs
    assert len(own_N) == TASKS * len(VALIDATION) * INPUTS * (TASKS - 1)
    np.testing.assert_array_equal(columns["input"][own_N], columns["input"][other_N])
    np.testing.assert_array_equal(columns["input"][own_N], columns["input"][alike_N])
    assert (columns["task"][own_N] != columns["task"][other_N]).all()
    np.testing.assert_array_equal(columns["task"][own_N], columns["task"][alike_N])
    assert (columns["instruction"][own_N] != columns["instruction"][alike_N]).all()


def test_swap_changes_the_answer_where_the_task_has_arrived(shares):
    assert shares["swap", "other_task", 1, 0] == {"own": [1, 0, 0, 0], "other": [0, 1, 1, 1]}
    assert shares["swap", "same_task", 1, 0]["own"] == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["means", "residual", "residual_other_inputs", "centroids", "probe"])
def test_the_planted_direction_moves_every_answer_whatever_the_input(shares, kind):
    """KMeans with as many clusters as tasks may find inputs instead; inside an input there are only tasks."""
    if kind != "centroids":
        assert shares["move", kind, 1.0, 0]["other"][1:] == [1, 1, 1]
    if not kind.startswith("residual"):
        given = shares["move", f"{kind}_given_input", 1.0, 0]
        assert (given["own"], given["other"]) == ([1, 0, 0, 0], [0, 1, 1, 1])


def test_a_random_direction_of_that_length_does_not(shares):
    for draw in range(CONFIG.draws):
        assert max(shares["move", "random", 1.0, draw]["other"]) < 0.35
    assert shares["move", "random", 1.0, 0] != shares["move", "random", 1.0, 1]


def test_without_the_task_space_the_input_alone_is_left(shares):
    """The toy then answers as for its first task; without a single direction, more tasks are told apart.

    The space has three directions: of eight asked for, those are removed.
    """
    for space in ("task", "task_given_input"):
        after = shares["remove", space, 8, 0]["own"]
        assert after[1:] == [1 / TASKS] * 3
        assert min(shares["remove", space, 1, 0]["own"][1:]) > 1 / TASKS
    assert after[0] == 1, "at layer 0 an input's states are equal: nothing to remove"
    assert min(shares["remove", "random", 1, 0]["own"]) > 0.9


def test_it_comes_from_all_symbols_and_not_the_last_alone(shares):
    assert shares["comes_from", "other_task", 1, 0]["own"] == [1, 1]
    everything = shares["comes_from", "other_task", 64, 0]
    assert everything["other"][0] > 0.9, "of an instruction that is longer than the other's, some symbols stay"
    assert everything["own"][1] == 1, "after the block that reads them, they do nothing"
    assert shares["comes_from", "same_task", 64, 0]["own"] == [1, 1]


def test_the_probe_reads_what_can_be_moved(shares):
    assert shares["probe", "task", 1, 0]["own"][1:] == [1, 1, 1]


def test_results_follow_from_the_configuration(bench, shares):
    """Also when a measurement is run alone, out of order; breaks if draws come from one stream."""
    for measurement in reversed(list(Bench(CONFIG, bench._trained).measurements())):
        if measurement.of.kind in ("random", "same_task") and measurement.of.test != "remove":
            rows = measurement.run()
            assert [row["own"] for row in rows] == shares[tuple(measurement.of)]["own"]


def test_a_model_that_is_always_wrong_has_no_pairs_and_nothing_is_measured():
    trained = toy()
    trained.params["head"][:] = 0
    wrong = Bench(CONFIG, trained)
    assert not any(map(len, wrong.pairs))
    assert not list(wrong.measurements())


def test_of_many_pairs_so_many_are_drawn(bench):
    every, drawn = (pairs_of(bench._trained, 1, most, np.random.default_rng(0)) for most in (1000, 5))
    assert len(drawn.own_N) == 5 < len(every.own_N)
    assert set(zip(*drawn[:2], strict=True)) <= set(zip(*every[:2], strict=True))
