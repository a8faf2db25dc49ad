"""The linear probe: scikit-learn's, fitted by hand on one half of the distributions and tested on the other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clusterlm_jax.analysis.instruments.probe import PROBE_SCORES, halves, probe_scores
from clusterlm_jax.analysis.nulls import regrouped
from tests.analysis.constructed import (
    DISTRIBUTION_ONLY,
    INPUT_COARSE,
    TASK_COARSE,
    TASKS,
    Columns,
    columns_of,
    near_zero,
    permuted,
    states_of,
)

REFERENCES, QUERIES = columns_of(3), columns_of(2)


def accuracy(
    query_QD: np.ndarray,
    reference_ND: np.ndarray,
    seed: int = 0,
    control: bool = False,
    queries: Columns = QUERIES,
    references: Columns = REFERENCES,
) -> tuple[float, float]:
    """Of the validation instances and of the training instances."""
    values = probe_scores(query_QD, queries, reference_ND, references, np.random.default_rng(seed), control)
    assert tuple(values) == PROBE_SCORES
    return values["probe_validation"], values["probe_training"]


def states(seed: int, noise: float, **weights: float) -> tuple[np.ndarray, np.ndarray]:
    """Of queries and references, with noise of their own."""
    return states_of(QUERIES, seed, 0, noise, **weights), states_of(REFERENCES, seed, 1, noise, **weights)


def with_a_task_of_one_distribution(columns: Columns) -> Columns:
    """The last distribution belongs to a task of its own."""
    return {**columns, "task": np.where(columns["distribution"] == 123, 9, columns["task"])}


def test_halves_split_every_task_of_several_distributions(rng: np.random.Generator) -> None:
    """Tasks of 1, 2, 3, 4 and 5 distributions, of unequal size and in random order."""
    task_D = np.repeat([10, 11, 12, 13, 14], [1, 2, 3, 4, 5])
    distribution_N = rng.permutation(np.repeat(np.arange(15), np.arange(1, 16)))
    for _ in range(20):
        half_of = halves(task_D[distribution_N], distribution_N, rng)
        assert sorted(half_of) == list(range(1, 15))
        count = Counter((int(task_D[distribution]), half) for distribution, half in half_of.items())
        assert [(count[task, 0], count[task, 1]) for task in (11, 12, 13, 14)] == [(1, 1), (2, 1), (2, 2), (3, 2)]


def test_every_split_into_halves_is_as_likely(rng: np.random.Generator) -> None:
    """Of three distributions each is the one of half 1 in a third of 900 draws, give or take 4 deviations of 14."""
    drawn = [halves(np.zeros(3, int), np.arange(3), rng) for _ in range(900)]
    alone = Counter(next(name for name, half in half_of.items() if half == 1) for half_of in drawn)
    assert [alone[distribution] for distribution in range(3)] == pytest.approx([300] * 3, abs=57)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_two_regressions_by_hand(seed: int) -> None:
    """Halves as drawn, all else spelt out. Breaks when a probe sees a distribution it is tested on, when it learns from
    validation instances, or when states are scaled by what is not in the training set."""
    queries, references = with_a_task_of_one_distribution(QUERIES), with_a_task_of_one_distribution(REFERENCES)
    query_QD, reference_ND = states(seed, noise=1.5, task=1, distribution=1)
    half_of = halves(references["task"], references["distribution"], np.random.default_rng(seed))
    half_Q, half_N = (np.array([half_of.get(d, 7) for d in c["distribution"]]) for c in (queries, references))
    inside_ND = reference_ND[half_N < 2]
    mean_D, scale = inside_ND.mean(axis=0), inside_ND.var(axis=0).mean() ** 0.5
    right: dict[str, list[bool]] = {"queries": [], "references": []}
    for learnt, tested in ((0, 1), (1, 0)):
        probe = LogisticRegression(max_iter=500)
        probe.fit((reference_ND[half_N == learnt] - mean_D) / scale, references["task"][half_N == learnt])
        found_Q, found_N = (probe.predict((points - mean_D) / scale) for points in (query_QD, reference_ND))
        right["queries"] += (found_Q == queries["task"])[half_Q == tested].tolist()
        right["references"] += (found_N == references["task"])[half_N == tested].tolist()
    assert len(right["references"]) == 9 * 23
    expected = np.mean(right["queries"]), np.mean(right["references"])
    assert 0.2 < min(expected) < max(expected) < 0.95  # neither trivial nor hopeless
    found = accuracy(query_QD, reference_ND, seed, queries=queries, references=references)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_control_task_is_the_probe_for_distributions_dealt_to_tasks() -> None:
    """Breaks when queries are dealt other tasks than references, or no others."""
    query_QD, reference_ND = states(1, noise=1, task=1, distribution=2)
    rng = np.random.default_rng(4)
    both = {name: np.concatenate([QUERIES[name], REFERENCES[name]]) for name in ("task", "distribution")}
    task_Q, task_N = np.split(regrouped(both["task"], both["distribution"], rng), [len(query_QD)])
    dealt = probe_scores(query_QD, {**QUERIES, "task": task_Q}, reference_ND, {**REFERENCES, "task": task_N}, rng)
    assert accuracy(query_QD, reference_ND, 4, control=True) == (dealt["probe_validation"], dealt["probe_training"])
    assert accuracy(query_QD, reference_ND, 4)[1] > dealt["probe_training"] + 0.2


def test_scale_and_origin_of_the_states_do_not_matter() -> None:
    """Breaks when the penalty weighs states of large norm differently, as they grow from layer to layer."""
    query_QD, reference_ND = states(0, noise=1, task=1, distribution=1)
    expected = accuracy(query_QD, reference_ND)
    assert accuracy(100 + 1e3 * query_QD, 100 + 1e3 * reference_ND) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_instances_does_not_matter(rng: np.random.Generator) -> None:
    query_QD, reference_ND = states(2, noise=1, task=1, distribution=1)
    expected = accuracy(query_QD, reference_ND)
    queries, query_QD = permuted(QUERIES, query_QD, rng)
    references, reference_ND = permuted(REFERENCES, reference_ND, rng)
    assert accuracy(query_QD, reference_ND, queries=queries, references=references) == pytest.approx(expected)


def test_the_two_accuracies_are_of_their_own_instances() -> None:
    """Validation states of mere noise leave the training accuracy as it is."""
    query_QD, reference_ND = states(0, noise=0.1, **TASK_COARSE)
    noise_QD, _ = states(0, noise=1)
    expected = accuracy(query_QD, reference_ND)
    assert expected == (1, 1)
    validation, training = accuracy(noise_QD, reference_ND)
    assert training == 1
    assert validation < 0.5


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_states_give_one_answer(value: float) -> None:
    """Right for one task in six. A float32 mean of 0.1 need not be 0.1: rounding alone would be scaled up."""
    query_QD, reference_ND = (np.full((len(c["task"]), 8), value, np.float32) for c in (QUERIES, REFERENCES))
    assert accuracy(query_QD, reference_ND) == pytest.approx((1 / TASKS, 1 / TASKS))


def test_a_task_of_one_distribution_is_left_out() -> None:
    """Its states move nothing. Breaks when it is among the classes of a probe, or in the mean of the states."""
    columns = {
        "queries": with_a_task_of_one_distribution(QUERIES),
        "references": with_a_task_of_one_distribution(REFERENCES),
    }
    query_QD, reference_ND = states(3, noise=1, task=1, distribution=1)
    expected = accuracy(query_QD, reference_ND, **columns)
    query_QD[QUERIES["distribution"] == 123] = 1e6
    reference_ND[REFERENCES["distribution"] == 123] = 1e6
    assert accuracy(query_QD, reference_ND, **columns) == expected


@pytest.mark.parametrize("tasks", [0, 1])
def test_nothing_to_tell_apart_is_no_number(tasks: int) -> None:
    """No task of several distributions, or one only."""
    columns = {
        name: {**own, "task": np.where(own["task"] < tasks, 0, own["distribution"])}
        for name, own in (("queries", QUERIES), ("references", REFERENCES))
    }
    assert np.isnan(accuracy(*states(0, noise=1), **columns)).all()


def test_no_instance_to_ask_about_is_no_number() -> None:
    """The only validation instances are of a task of one distribution: the training accuracy is there all the same."""
    alone = QUERIES["distribution"] == 123
    queries = {name: column[alone] for name, column in with_a_task_of_one_distribution(QUERIES).items()}
    references = with_a_task_of_one_distribution(REFERENCES)
    query_QD, reference_ND = states(0, noise=0.1, **TASK_COARSE)
    validation, training = accuracy(query_QD[alone], reference_ND, queries=queries, references=references)
    assert np.isnan(validation)
    assert training == 1


@pytest.mark.parametrize("weights", [TASK_COARSE, INPUT_COARSE])
def test_a_direction_of_the_task_is_found_on_any_level(weights: dict[str, float]) -> None:
    """Tasks far apart, or inside input symbols that are: unseen distributions are told right. The control is not, as no
    direction is common to distributions of different tasks."""
    query_QD, reference_ND = states(5, noise=0.1, **weights)
    assert accuracy(query_QD, reference_ND) == (1, 1)
    assert np.mean([accuracy(query_QD, reference_ND, seed, control=True) for seed in range(3)]) < 0.5


@pytest.mark.parametrize("weights", [{}, DISTRIBUTION_ONLY])
def test_states_without_the_task_are_at_chance_and_equal_the_control(weights: dict[str, float]) -> None:
    """On average over 24 arrangements. Distributions so well clustered that a probe tells all it has seen are nothing
    to it once unseen. Breaks when a distribution is on both sides."""
    excess, beyond_control, seen = [], [], []
    for seed in range(24):
        query_QD, reference_ND = states(seed, noise=0.5, **weights)
        found, control = (np.mean(accuracy(query_QD, reference_ND, seed, control)) for control in (False, True))
        excess.append(found - 1 / TASKS)
        beyond_control.append(found - control)
        seen.append(LogisticRegression().fit(reference_ND, REFERENCES["task"]).score(query_QD, QUERIES["task"]))
    assert near_zero(excess)
    assert near_zero(beyond_control)
    assert np.mean(seen) == 1 if weights else np.mean(seen) < 0.5


def test_the_input_alone_tells_something_of_the_task_and_less_of_the_control() -> None:
    """A limit of the instrument: inputs are shared by three tasks, so knowing the input is right once in three, while
    dealt distributions have any input. Layer 0, which holds the input only, is what a layer has to be compared with."""
    excess, control = [], []
    for seed in range(12):
        query_QD, reference_ND = states(seed, noise=0.1, input=1)
        excess.append(np.mean(accuracy(query_QD, reference_ND, seed)) - 1 / 3)
        control.append(np.mean(accuracy(query_QD, reference_ND, seed, control=True)))
    assert near_zero(excess)
    assert np.mean(control) < 0.27
