"""Neighbours across distributions: equal to scikit-learn's among the candidates, with ties in equal parts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from clusterlm_jax.analysis.instruments.across import ACROSS_SCORES, across_scores
from clusterlm_jax.analysis.instruments.neighbours import nearest, task_share
from tests.analysis.instruments import constructed as made

REFERENCES, QUERIES = made.columns_of(3), made.columns_of(2)
SAME_TASK = 3 * 9 / (23 * 9)  # the share of the query's task among references of other distributions
SAME_TASK_OF_INPUT = 3 * 3 / (11 * 3)  # the same among those with its input symbol, which three tasks have


def random_columns(rng: np.random.Generator, instances: int) -> made.Columns:
    """Distributions of different sizes; task 3 has a single one."""
    distribution_N = rng.choice(9, instances, p=np.arange(1, 10) / 45)
    task_N = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])[distribution_N]
    return {"task": task_N, "distribution": distribution_N, "input": rng.integers(0, 4, instances)}


def allowed(score: str, queries: made.Columns, references: made.Columns, query: int) -> np.ndarray:
    """The references that may be neighbours of a query, in the order of the references."""
    other = [n for n, d in enumerate(references["distribution"]) if d != queries["distribution"][query]]
    same = [n for n in other if references["input"][n] == queries["input"][query]]
    return np.array(
        {"across": other, "across_same_input": same, "across_other_input": sorted(set(other) - set(same))}[score], int
    )


@pytest.mark.parametrize("neighbours", [1, 7])
def test_equals_scikit_learn_among_the_allowed(neighbours: int, rng: np.random.Generator) -> None:
    """Query by query, 150 of them in blocks of 64. Breaks when a query sees its own distribution, counts although no
    candidate has its task, or gets the chance of another query.
    """
    references, queries = random_columns(rng, 120), random_columns(rng, 150)
    reference_ND, query_QD = (rng.standard_normal((size, 5)) for size in (120, 150))
    values = across_scores(query_QD, queries, reference_ND, references, neighbours)
    assert tuple(values) == ACROSS_SCORES
    for score, found in values.items():
        shares = []
        for query, task in enumerate(queries["task"]):
            index_M = allowed(score, queries, references, query)
            if task not in references["task"][index_M]:
                continue
            of_task_M = references["task"][index_M] == task
            finder = NearestNeighbors(n_neighbors=min(neighbours, len(index_M))).fit(reference_ND[index_M])
            [near_K] = finder.kneighbors(query_QD[query : query + 1], return_distance=False)
            shares.append((of_task_M[near_K].mean(), of_task_M.mean()))
        assert 100 < len(shares) < 150  # those of task 3 do not count
        assert found == pytest.approx(tuple(np.mean(shares, axis=0)))


@pytest.mark.parametrize("neighbours", [1, 2, 4, 5])
def test_candidates_as_far_as_the_last_neighbour_share_its_place(neighbours: int) -> None:
    """One is nearer, four tie, one is farther: the mean over all orders of the six. Breaks when ties go by index."""
    reference_ND = np.array([[0.0], [1], [1], [-1], [1], [2]])
    task_N = np.array([1, 1, 0, 0, 0, 0])
    references = {"task": task_N, "distribution": np.arange(6), "input": np.zeros(6, int)}
    queries = {"task": np.array([0]), "distribution": np.array([9]), "input": np.array([0])}
    distance_N = np.abs(reference_ND[:, 0])
    shares = [
        (
            task_N[sorted(order, key=lambda n: distance_N[n])[:neighbours]] == 0
        ).mean()  # sorted() keeps the order of ties
        for order in itertools.permutations(range(6))
    ]
    values = across_scores(np.zeros((1, 1)), queries, reference_ND, references, neighbours)
    assert values["across"] == values["across_same_input"] == pytest.approx((np.mean(shares), 4 / 6))
    assert np.isnan(values["across_other_input"]).all()


def test_equal_states_and_few_references_give_chance() -> None:
    """If all are equally near, or all are neighbours, the share equals the chance."""
    for hidden_ND, neighbours in (
        (np.full((216, 4), 0.1, np.float32), 10),
        (made.states_of(REFERENCES, 1, task=1), 1000),
    ):
        values = across_scores(hidden_ND[:144], QUERIES, hidden_ND, REFERENCES, neighbours)
        assert values["across"] == pytest.approx((SAME_TASK, SAME_TASK))
        assert values["across_same_input"] == pytest.approx((SAME_TASK_OF_INPUT, SAME_TASK_OF_INPUT))
        assert values["across_other_input"] == pytest.approx((18 / 174, 18 / 174))


def test_the_order_of_instances_does_not_matter(rng: np.random.Generator) -> None:
    """Only five states are distinct, as at layer 0. Breaks when the order of the dataset decides ties."""
    references, queries, point_SD = random_columns(rng, 90), random_columns(rng, 80), rng.standard_normal((5, 6))
    reference_ND, query_QD = point_SD[rng.integers(0, 5, 90)], point_SD[rng.integers(0, 5, 80)]
    values = across_scores(query_QD, queries, reference_ND, references, 10)
    for _ in range(3):
        references, reference_ND = made.permuted(references, reference_ND, rng)
        queries, query_QD = made.permuted(queries, query_QD, rng)
        again = across_scores(query_QD, queries, reference_ND, references, 10)
        assert {score: pytest.approx(pair) for score, pair in again.items()} == values


def test_a_task_of_one_distribution_does_not_count() -> None:
    """Its queries could never be right. As a neighbour of other queries it counts."""
    references, queries = ({**columns, "task": columns["task"].copy()} for columns in (REFERENCES, QUERIES))
    for columns in (references, queries):
        columns["task"][columns["distribution"] == 100] = 7  # a task of its own, taken from task 0
    query_QD, reference_ND = (made.states_of(columns, 2, task=5) for columns in (queries, references))
    # Of the 23 other distributions, queries of three distributions see two of their task, those of twenty see three.
    expected = 1, pytest.approx((3 * 2 + 20 * 3) / 23 / 23)
    assert across_scores(query_QD, queries, reference_ND, references, 5)["across"] == expected
    query_QD[queries["task"] == 7] = 1e6
    assert across_scores(query_QD, queries, reference_ND, references, 5)["across"] == expected
    reference_ND[references["task"] == 7] = query_QD[queries["task"] == 1].mean(axis=0)
    assert across_scores(query_QD, queries, reference_ND, references, 5)["across"][0] < 1


def test_without_a_task_of_two_distributions_shares_are_nan() -> None:
    references, queries = ({**columns, "task": columns["distribution"]} for columns in (REFERENCES, QUERIES))
    values = across_scores(
        made.states_of(queries, 0, task=1), queries, made.states_of(references, 0, task=1), references, 10
    )
    assert np.isnan([values[score] for score in ACROSS_SCORES]).all()


def test_tasks_above_their_distributions_are_found() -> None:
    query_QD, reference_ND = (made.states_of(columns, 3, **made.TASK_COARSE) for columns in (QUERIES, REFERENCES))
    values = across_scores(query_QD, QUERIES, reference_ND, REFERENCES, 9)
    assert [values[score][0] for score in ACROSS_SCORES] == [1, 1, 1]
    assert values["across"][1] == pytest.approx(SAME_TASK)


def test_tasks_inside_input_symbols_are_found_among_the_same_input() -> None:
    """Instances with another input are far away, so among them the nearest ones may have any task."""
    query_QD, reference_ND = (made.states_of(columns, 3, **made.INPUT_COARSE) for columns in (QUERIES, REFERENCES))
    values = across_scores(query_QD, QUERIES, reference_ND, REFERENCES, 9)
    assert values["across"][0] == values["across_same_input"][0] == 1
    assert values["across_other_input"][0] < 0.7


def test_states_of_the_input_alone_show_no_task() -> None:
    """Tasks share inputs unevenly, so states of the input alone exceed the chance of `across`. The other two scores do
    not, which shows that it is the input. Mean over 20 arrangements.

    Breaks when share and chance have different candidates.
    """
    same_input, other_input = [], []
    for seed in range(20):
        query_QD, reference_ND = (
            made.states_of(columns, seed, number, noise=1, input=20)
            for number, columns in enumerate((QUERIES, REFERENCES))
        )
        values = across_scores(query_QD, QUERIES, reference_ND, REFERENCES, 9)
        assert values["across"][0] > 1.7 * values["across"][1]
        same_input.append(values["across_same_input"][0] - values["across_same_input"][1])
        other_input.append(values["across_other_input"][0])
    assert made.near_zero(same_input)
    assert np.mean(other_input) < 0.25


@pytest.mark.parametrize("weights", [{}, made.DISTRIBUTION_ONLY])
def test_states_without_the_task_are_at_chance(weights: dict[str, float]) -> None:
    """No structure, or distributions so well clustered that every neighbour has the query's task if its own
    distribution is allowed. Across distributions nothing is left, on average over 40 arrangements.
    """
    excess, plain = {score: [] for score in ACROSS_SCORES}, []
    for seed in range(40):
        query_QD, reference_ND = (
            made.states_of(columns, seed, number, noise=0.5, **weights)
            for number, columns in enumerate((QUERIES, REFERENCES))
        )
        for score, (share, chance) in across_scores(query_QD, QUERIES, reference_ND, REFERENCES, 9).items():
            excess[score].append(share - chance)
        plain.append(task_share(nearest(query_QD, reference_ND, 9), QUERIES["task"], REFERENCES["task"]))
    assert all(made.near_zero(values) for values in excess.values())
    assert np.mean(plain) > 0.999 if weights else np.mean(plain) < 0.2
