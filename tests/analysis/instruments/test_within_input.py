"""Clusters inside each input symbol: KMeans and scores by hand, and states with known structure."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from clusterlm_jax.analysis.instruments.within_input import WITHIN_SCORES, groups, within_input_scores
from clusterlm_jax.analysis.nulls import draw
from clusterlm_jax.analysis.scores import score_all
from tests.analysis.instruments import constructed as made

COLUMNS = made.columns_of(2)
NULLS = ("shuffled_task", "regrouped_task")


def kmeans(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters")  # equal states
        return KMeans(clusters, n_init=3, random_state=symbol).fit_predict(points_ND)


def one_cluster(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
    return np.zeros(len(points_ND), int)


def scored(
    hidden_ND: np.ndarray,
    columns: made.Columns = COLUMNS,
    cluster=kmeans,
    nulls: tuple[str, ...] = (),
    draws: int = 3,
) -> dict[tuple[str, str], float]:
    generators = {null: np.random.default_rng(number) for number, null in enumerate(nulls)}
    clusters = {symbol: cluster(hidden_ND[of_N], tasks, symbol) for symbol, (of_N, tasks) in groups(columns).items()}
    return within_input_scores(columns, clusters, generators, draws)


def by_task(values: dict[tuple[str, str], float]) -> list[float]:
    return [values["task", score] for score in WITHIN_SCORES]


def test_equals_clustering_and_scoring_by_hand() -> None:
    """Breaks when states of other inputs are clustered with them, when null labels are drawn over all inputs at once,
    or when inputs with more instances weigh more.
    """
    columns = {name: column[9:-4] for name, column in COLUMNS.items()}  # inputs with different numbers of instances
    hidden_ND = made.states_of(columns, 0, noise=2, task=1, input=1)
    found: dict[str, list] = {label: [] for label in ("task", *NULLS)}
    generators = {null: np.random.default_rng(number) for number, null in enumerate(NULLS)}
    for symbol in range(40, 46):
        here = columns["input"] == symbol
        task_N, distribution_N = columns["task"][here], columns["distribution"][here]
        clusters_N = kmeans(hidden_ND[here], 3, symbol)
        labels = {"task": [task_N]}
        for null, rng in generators.items():
            labels[null] = [draw(null, {"task": task_N, "distribution": distribution_N}, rng) for _ in range(3)]
        for label, drawn in labels.items():
            f1 = [score_all(label_N, clusters_N, ("f1",))["f1"] for label_N in drawn]
            ari = [adjusted_rand_score(label_N, clusters_N) for label_N in drawn]
            ami = [adjusted_mutual_info_score(label_N, clusters_N) for label_N in drawn]
            found[label].append([np.mean(f1), np.mean(ari), np.mean(ami)])
    values = scored(hidden_ND, columns, nulls=NULLS)
    for label, rows in found.items():
        assert [values[label, score] for score in WITHIN_SCORES] == pytest.approx(np.mean(rows, axis=0).tolist())
    assert WITHIN_SCORES == ("within_input_f1", "within_input_ari", "within_input_ami")
    assert len(values) == 9
    assert 0.1 < values["task", "within_input_ari"] < 0.9  # neither trivial nor hopeless


def test_each_input_is_clustered_alone_with_k_its_number_of_tasks() -> None:
    """One of its three tasks loses input 40. Breaks when k is the number of all tasks."""
    kept = ~((COLUMNS["input"] == 40) & (COLUMNS["task"] == 0))
    columns = {name: column[kept] for name, column in COLUMNS.items()}
    asked = {}

    def spy(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
        asked[symbol] = clusters, sorted(points_ND[:, 0].tolist())
        return one_cluster(points_ND, clusters, symbol)

    scored(np.flatnonzero(kept)[:, None], columns, spy)
    assert asked == {
        symbol: (2 if symbol == 40 else 3, np.flatnonzero(kept & (COLUMNS["input"] == symbol)).tolist())
        for symbol in range(40, 46)
    }


def test_inputs_weigh_the_same_whatever_their_size() -> None:
    """Input 40 has 6 instances and the right clusters; the five others have 24 instances each and one cluster."""
    kept = (COLUMNS["input"] != 40) | (COLUMNS["distribution"] % 4 == 0)
    columns = {name: column[kept] for name, column in COLUMNS.items()}

    def right_at_40(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
        return points_ND[:, 0] if symbol == 40 else one_cluster(points_ND, clusters, symbol)

    f1 = 2 * 8 / (8 + 24) / 3  # of three tasks, one is matched to the cluster of all
    assert by_task(scored(columns["task"][:, None], columns, right_at_40)) == pytest.approx(
        [(1 + 5 * f1) / 6, 1 / 6, 1 / 6]
    )


def test_inputs_of_one_task_are_left_out() -> None:
    """Their one cluster would always be right. If there are no other inputs, the scores are nan."""
    alone = {**COLUMNS, "input": np.where(COLUMNS["input"] < 43, 100 + COLUMNS["mapping"], COLUMNS["input"])}
    others = {name: column[COLUMNS["input"] >= 43] for name, column in COLUMNS.items()}
    hidden_ND = made.states_of(COLUMNS, 0, noise=1, task=1)
    expected = scored(hidden_ND[COLUMNS["input"] >= 43], others, nulls=NULLS)
    assert scored(hidden_ND, alone, nulls=NULLS) == expected
    nothing = scored(hidden_ND, {**COLUMNS, "input": COLUMNS["mapping"]}, nulls=NULLS)
    assert nothing.keys() == expected.keys()
    assert np.isnan(list(nothing.values())).all()


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_states_are_one_cluster(value: float) -> None:
    """As at layer 0, where states of one input are equal. Only chance is left."""
    hidden_ND = (value + COLUMNS["input"][:, None] * np.ones(8)).astype(np.float32)
    assert by_task(scored(hidden_ND)) == pytest.approx([1 / 6, 0, 0], abs=1e-12)


def test_the_order_of_instances_does_not_matter_where_clusters_are_clear(rng: np.random.Generator) -> None:
    """Each input has 12 clear distributions, which are clustered by the nearest of 3 fixed points."""
    hidden_ND = made.states_of(COLUMNS, 0, distribution=1)

    def nearest_of_three(points_ND: np.ndarray, clusters: int, symbol: int) -> np.ndarray:
        return points_ND[:, :clusters].argmax(axis=1)

    expected = by_task(scored(hidden_ND, cluster=nearest_of_three))
    assert 0 < expected[1] < 1
    columns, permuted_ND = made.permuted(COLUMNS, hidden_ND, rng)
    assert by_task(scored(permuted_ND, columns, nearest_of_three)) == pytest.approx(expected)


@pytest.mark.parametrize("weights", [made.TASK_COARSE, made.INPUT_COARSE])
def test_tasks_are_found_on_any_level(weights: dict[str, float]) -> None:
    """Tasks far apart, or inputs far apart with tasks within them, where clusters of all states are not by task."""
    hidden_ND = made.states_of(COLUMNS, 1, **weights)
    assert by_task(scored(hidden_ND)) == [1, 1, 1]
    of_all_N = KMeans(6, n_init=3, random_state=0).fit_predict(hidden_ND)
    assert (adjusted_rand_score(COLUMNS["task"], of_all_N) == 1) == (weights is made.TASK_COARSE)


@pytest.mark.parametrize("weights", [{}, {"input": 10.0}, made.DISTRIBUTION_ONLY])
def test_states_without_the_task_score_as_the_null(weights: dict[str, float]) -> None:
    """On average over 12 arrangements. Clear distributions score above shuffled tasks, as clusters keep distributions
    whole. Tasks regrouped inside each input keep them whole, too, and score the same.
    """
    excess, above_shuffled = [], []
    for seed in range(12):
        values = scored(made.states_of(COLUMNS, seed, noise=0.5, **weights), nulls=NULLS, draws=1)
        null = "regrouped_task" if weights is made.DISTRIBUTION_ONLY else "shuffled_task"
        excess.append([values["task", score] - values[null, score] for score in WITHIN_SCORES])
        above_shuffled.append(values["task", "within_input_ami"] - values["shuffled_task", "within_input_ami"])
    assert all(made.near_zero(column) for column in zip(*excess, strict=True))
    assert (np.mean(above_shuffled) > 0.05) == (weights is made.DISTRIBUTION_ONLY)
