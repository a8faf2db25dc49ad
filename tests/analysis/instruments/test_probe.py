"""The linear probe: scikit-learn's, fitted by hand on one half of the distributions and tested on the other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clusterlm_jax.analysis.instruments.probe import PROBE_SCORES, fits, halves, predictions, probe_scores
from clusterlm_jax.analysis.nulls import regrouped
from tests.analysis.instruments import constructed as made

REFERENCES, QUERIES = made.columns_of(3), made.columns_of(2)


def accuracy(
    query_QD: np.ndarray,
    reference_ND: np.ndarray,
    seed: int = 0,
    control: bool = False,
    queries: made.Columns = QUERIES,
    references: made.Columns = REFERENCES,
) -> tuple[float, float]:
    """Accuracies on the validation instances and on the training instances."""
    fitted = fits(query_QD, queries, reference_ND, references, np.random.default_rng(seed), control)
    values = probe_scores(fitted, [predictions(*fit[:3]) for fit in fitted])
    assert tuple(values) == PROBE_SCORES
    return values["probe_validation"], values["probe_training"]


def states(seed: int, noise: float, **weights: float) -> tuple[np.ndarray, np.ndarray]:
    """States of queries and references, with different noise."""
    return made.states_of(QUERIES, seed, 0, noise, **weights), made.states_of(REFERENCES, seed, 1, noise, **weights)


def with_a_task_of_one_distribution(columns: made.Columns) -> made.Columns:
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


def test_all_splits_into_halves_are_equally_likely(rng: np.random.Generator) -> None:
    """Each of three distributions is alone in half 1 in 300 of 900 draws, within 4 deviations of 14."""
    drawn = [halves(np.zeros(3, int), np.arange(3), rng) for _ in range(900)]
    alone = Counter(next(name for name, half in half_of.items() if half == 1) for half_of in drawn)
    assert [alone[distribution] for distribution in range(3)] == pytest.approx([300] * 3, abs=57)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_two_regressions_by_hand(seed: int) -> None:
    """With the halves as drawn. Breaks when a probe learns from a distribution it is tested on or from validation
    instances, or when the scale of the states is not from the training set.
    """
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
    assert 0.2 < min(expected) < max(expected) < 0.95  # neither too easy nor too hard
    found = accuracy(query_QD, reference_ND, seed, queries=queries, references=references)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_control_task_is_the_probe_for_regrouped_tasks() -> None:
    """Breaks when queries get other tasks than references, or keep their own."""
    query_QD, reference_ND = states(1, noise=1, task=1, distribution=2)
    rng = np.random.default_rng(4)
    both = {name: np.concatenate([QUERIES[name], REFERENCES[name]]) for name in ("task", "distribution")}
    task_Q, task_N = np.split(regrouped(both["task"], both["distribution"], rng), [len(query_QD)])
    fitted = fits(query_QD, {**QUERIES, "task": task_Q}, reference_ND, {**REFERENCES, "task": task_N}, rng)
    drawn = probe_scores(fitted, [predictions(*fit[:3]) for fit in fitted])
    assert accuracy(query_QD, reference_ND, 4, control=True) == (drawn["probe_validation"], drawn["probe_training"])
    assert accuracy(query_QD, reference_ND, 4)[1] > drawn["probe_training"] + 0.2


def test_scale_and_origin_of_the_states_do_not_matter() -> None:
    """Breaks when the penalty depends on the norm of the states, which grows from layer to layer."""
    query_QD, reference_ND = states(0, noise=1, task=1, distribution=1)
    expected = accuracy(query_QD, reference_ND)
    assert accuracy(100 + 1e3 * query_QD, 100 + 1e3 * reference_ND) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_instances_does_not_matter(rng: np.random.Generator) -> None:
    query_QD, reference_ND = states(2, noise=1, task=1, distribution=1)
    expected = accuracy(query_QD, reference_ND)
    queries, query_QD = made.permuted(QUERIES, query_QD, rng)
    references, reference_ND = made.permuted(REFERENCES, reference_ND, rng)
    assert accuracy(query_QD, reference_ND, queries=queries, references=references) == pytest.approx(expected)


def test_each_accuracy_is_measured_on_its_own_instances() -> None:
    """Validation states that are noise do not change the training accuracy."""
    query_QD, reference_ND = states(0, noise=0.1, **made.TASK_COARSE)
    noise_QD, _ = states(0, noise=1)
    expected = accuracy(query_QD, reference_ND)
    assert expected == (1, 1)
    validation, training = accuracy(noise_QD, reference_ND)
    assert training == 1
    assert validation < 0.5


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_states_give_one_answer(value: float) -> None:
    """Right for one task in six. A float32 mean of 0.1 need not be 0.1. Breaks when that rounding is scaled up."""
    query_QD, reference_ND = (np.full((len(c["task"]), 8), value, np.float32) for c in (QUERIES, REFERENCES))
    assert accuracy(query_QD, reference_ND) == pytest.approx((1 / made.TASKS, 1 / made.TASKS))


def test_a_task_of_one_distribution_is_left_out() -> None:
    """Its states change nothing. Breaks when it is a class of a probe, or part of the mean of the states."""
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
def test_fewer_than_two_tasks_give_nan(tasks: int) -> None:
    """No task with several distributions, or only one."""
    columns = {
        name: {**own, "task": np.where(own["task"] < tasks, 0, own["distribution"])}
        for name, own in (("queries", QUERIES), ("references", REFERENCES))
    }
    assert np.isnan(accuracy(*states(0, noise=1), **columns)).all()


def test_no_instances_to_test_on_give_nan() -> None:
    """All validation instances belong to a task of one distribution. The training accuracy is a number all the same."""
    alone = QUERIES["distribution"] == 123
    queries = {name: column[alone] for name, column in with_a_task_of_one_distribution(QUERIES).items()}
    references = with_a_task_of_one_distribution(REFERENCES)
    query_QD, reference_ND = states(0, noise=0.1, **made.TASK_COARSE)
    validation, training = accuracy(query_QD[alone], reference_ND, queries=queries, references=references)
    assert np.isnan(validation)
    assert training == 1


@pytest.mark.parametrize("weights", [made.TASK_COARSE, made.INPUT_COARSE])
def test_a_direction_of_the_task_is_found_on_any_level(weights: dict[str, float]) -> None:
    """Tasks far apart, or inputs far apart with tasks within them: unseen distributions are classified right. Those of
    the control task are not, as distributions of different tasks have no direction in common.
    """
    query_QD, reference_ND = states(5, noise=0.1, **weights)
    assert accuracy(query_QD, reference_ND) == (1, 1)
    assert np.mean([accuracy(query_QD, reference_ND, seed, control=True) for seed in range(3)]) < 0.5


@pytest.mark.parametrize("weights", [{}, made.DISTRIBUTION_ONLY])
def test_states_without_the_task_are_at_chance_and_equal_the_control(weights: dict[str, float]) -> None:
    """On average over 24 arrangements. A probe learns all distributions that are well clustered, but that does not help
    with unseen ones. Breaks when a distribution is on both sides.
    """
    excess, beyond_control, seen = [], [], []
    for seed in range(24):
        query_QD, reference_ND = states(seed, noise=0.5, **weights)
        found, control = (np.mean(accuracy(query_QD, reference_ND, seed, control)) for control in (False, True))
        excess.append(found - 1 / made.TASKS)
        beyond_control.append(found - control)
        seen.append(LogisticRegression().fit(reference_ND, REFERENCES["task"]).score(query_QD, QUERIES["task"]))
    assert made.near_zero(excess)
    assert made.near_zero(beyond_control)
    assert np.mean(seen) == 1 if weights else np.mean(seen) < 0.5


def test_the_input_alone_predicts_the_task_a_little_and_the_control_less() -> None:
    """A limit of the instrument: three tasks share an input, so a guess by the input is right once in three, while
    regrouped tasks have any input. So a layer has to be compared with layer 0, which has only the input.
    """
    excess, control = [], []
    for seed in range(12):
        query_QD, reference_ND = states(seed, noise=0.1, input=1)
        excess.append(np.mean(accuracy(query_QD, reference_ND, seed)) - 1 / 3)
        control.append(np.mean(accuracy(query_QD, reference_ND, seed, control=True)))
    assert made.near_zero(excess)
    assert np.mean(control) < 0.27
