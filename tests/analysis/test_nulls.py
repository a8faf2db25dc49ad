"""Null labels keep the counts of the label they imitate, and nothing else of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clusterlm_jax.analysis.nulls import (
    NULL_SCORES,
    draw,
    draw_neighbours,
    null_scores,
    null_task_share,
    nulls_of,
    regrouped,
)
from clusterlm_jax.analysis.scores import score_all
from clusterlm_jax.analysis.spec import AnalysisSpec

NULL_LABELS = {
    "shuffled_task": "task",
    "shuffled_distribution": "distribution",
    "shuffled_distribution_mapping": "distribution_mapping",
    "regrouped_task": "task",
}
TASK_G = np.array([0, 0, 0, 1, 2, 2, 5])  # the tasks of seven distributions
SIZE_G = np.array([6, 9, 12, 15, 6, 9, 12])


def columns(order_seed: int = 0, sizes: np.ndarray = SIZE_G) -> dict[str, np.ndarray]:
    """Instances of the seven distributions, with 3 mappings each, in random order."""
    distribution_N = np.random.default_rng(order_seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return {
        "task": TASK_G[distribution_N],
        "distribution": 10 + distribution_N,
        "distribution_mapping": 3 * distribution_N + np.arange(len(distribution_N)) % 3,
    }


@pytest.mark.parametrize("null", [null for null in NULL_LABELS if null.startswith("shuffled")])
def test_a_shuffled_label_keeps_its_counts_and_nothing_else(null: str, rng: np.random.Generator) -> None:
    label_N = columns()[NULL_LABELS[null]]
    null_N = draw(null, columns(), rng)
    assert Counter(null_N.tolist()) == Counter(label_N.tolist())
    assert not np.array_equal(null_N, label_N)
    assert not np.array_equal(null_N, draw(null, columns(), rng))


def test_regrouping_keeps_distributions_whole_and_their_number_in_every_task(rng: np.random.Generator) -> None:
    labels = columns()
    for _ in range(20):
        null_N = draw("regrouped_task", labels, rng)
        pairs = set(zip(labels["distribution"].tolist(), null_N.tolist(), strict=True))
        assert len(pairs) == len(SIZE_G)
        assert Counter(task for _, task in pairs) == Counter(TASK_G.tolist())


def test_all_regroupings_are_equally_likely(rng: np.random.Generator) -> None:
    """One of three distributions is alone in its task: each of them in 300 of 900 draws, within 4 deviations of 14.

    Breaks when a distribution stays with its task more often than by chance.
    """
    alone = Counter(int(np.flatnonzero(regrouped(np.array([0, 0, 1]), np.arange(3), rng) == 1)[0]) for _ in range(900))
    assert [alone[distribution] for distribution in range(3)] == pytest.approx([300] * 3, abs=57)


def test_regrouping_tasks_of_one_distribution_each_only_renames_them(rng: np.random.Generator) -> None:
    distribution_N = columns()["distribution"]
    null_N = regrouped(distribution_N + 3, distribution_N, rng)
    assert score_all(distribution_N, null_N, ("ari",)) == {"ari": 1}
    assert set(null_N.tolist()) == set((distribution_N + 3).tolist())


@pytest.mark.parametrize("null", NULL_LABELS)
def test_chance_adjusted_scores_of_shuffled_labels_are_near_zero(null: str, rng: np.random.Generator) -> None:
    """The label itself is the clustering. Regrouped tasks keep distributions whole, so they score above zero."""
    labels = columns()
    values = null_scores(null, labels, labels[NULL_LABELS[null]], 100, rng)
    assert values.keys() == set(NULL_SCORES)
    if null == "regrouped_task":
        assert 0.1 < values["ari"] < 0.9
        assert 0.1 < values["ami"] < 0.9
    else:
        assert values["ari"] == pytest.approx(0, abs=0.01)
        assert values["ami"] == pytest.approx(0, abs=0.02)


def test_clusters_of_distributions_score_the_same_for_tasks_and_for_regrouped_tasks(rng: np.random.Generator) -> None:
    """For 300 random clusterings of whole distributions, the task and its null score the same on average.

    Breaks when the null label does anything but exchange distributions.
    """
    labels = columns(sizes=np.full(7, 9))
    of_task, of_null = [], []
    for _ in range(300):
        clusters_N = rng.permutation(TASK_G)[labels["distribution"] - 10]
        of_task.append(score_all(labels["task"], clusters_N)["f1"])
        of_null.append(null_scores("regrouped_task", labels, clusters_N, 2, rng)["f1"])
    spread = np.std(of_task) / np.sqrt(300) + np.std(of_null) / np.sqrt(300)
    assert np.mean(of_task) == pytest.approx(np.mean(of_null), abs=3 * spread)
    assert np.mean(of_null) < 0.8


def test_scores_are_means_over_the_draws() -> None:
    labels, clusters_N = columns(), columns(1)["task"]
    rng = np.random.default_rng(4)
    draws = [score_all(draw("shuffled_task", labels, rng), clusters_N) for _ in range(3)]
    values = null_scores("shuffled_task", labels, clusters_N, 3, np.random.default_rng(4))
    assert values == {name: pytest.approx(sum(by_name[name] for by_name in draws) / 3) for name in NULL_SCORES}


def test_queries_and_references_share_one_regrouping(rng: np.random.Generator) -> None:
    """Queries have only distributions of tasks 0 and 2, references have all. Breaks when each is regrouped alone."""
    references = columns()
    queries = {name: column[np.isin(references["task"], (0, 2))] for name, column in references.items()}
    for _ in range(20):
        task_Q, task_N = draw_neighbours("regrouped_task", queries, references, rng)
        of_distribution = dict(zip(references["distribution"].tolist(), task_N.tolist(), strict=True))
        assert Counter(of_distribution.values()) == Counter(TASK_G.tolist())
        assert task_N.tolist() == [of_distribution[name] for name in references["distribution"].tolist()]
        assert task_Q.tolist() == [of_distribution[name] for name in queries["distribution"].tolist()]


def test_shuffled_neighbours_agree_as_often_as_the_task_is_frequent(rng: np.random.Generator) -> None:
    """Whatever the neighbours are. The mean of 100 draws is compared with the frequencies."""
    references = columns()
    queries = {"task": np.array([0, 1, 1, 2, 5]), "distribution": np.array([10, 13, 13, 14, 16])}
    index_QP = np.arange(50).reshape(5, 10)
    expected = np.mean([(references["task"] == task).mean() for task in queries["task"]])
    share = null_task_share("shuffled_task", index_QP, queries, references, 100, rng)
    assert share == pytest.approx(expected, abs=0.02)


def test_neighbours_of_the_same_distribution_agree_in_every_regrouping(rng: np.random.Generator) -> None:
    references = columns()
    queries = {name: references[name][:20] for name in ("task", "distribution")}
    index_QP = np.stack([np.flatnonzero(references["distribution"] == d)[:5] for d in queries["distribution"]])
    assert null_task_share("regrouped_task", index_QP, queries, references, 5, rng) == 1


def test_null_labels_are_scored_if_their_label_is() -> None:
    assert nulls_of(AnalysisSpec()) == NULL_LABELS
    assert set(nulls_of(AnalysisSpec(labels=("mapping", "task")))) == {"shuffled_task", "regrouped_task"}
    assert set(nulls_of(AnalysisSpec(labels=("distribution",)))) == {"shuffled_distribution"}
    assert nulls_of(AnalysisSpec(labels=("input",))) == {}
    assert nulls_of(AnalysisSpec(null_draws=0)) == {}
