"""Scores compared with their definitions written as loops, and properties that every score has."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from clusterlm_jax.analysis.scores import SCORES, f1_matched, score_all

Labels = Sequence[int]
few = settings(max_examples=40, deadline=None, derandomize=True)
LABELINGS = st.integers(1, 14).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 4), min_size=n, max_size=n) for _ in range(2)))
)


def score(name: str, classes: Labels, clusters: Labels) -> float:
    return score_all(np.array(classes), np.array(clusters))[name]


def members(labels: Labels, value: int) -> set[int]:
    return {i for i, label in enumerate(labels) if label == value}


def f1_of(true: set[int], predicted: set[int]) -> Fraction:
    hits = len(true & predicted)
    if hits == 0:
        return Fraction(0)
    precision, recall = Fraction(hits, len(predicted)), Fraction(hits, len(true))
    return 2 * precision * recall / (precision + recall)


def f1(classes: Labels, clusters: Labels) -> Fraction:
    """Tries all one-to-one matchings; dummies stand for classes or clusters without a partner."""
    class_names, cluster_names = sorted(set(classes)), sorted(set(clusters))
    cluster_names += [-1] * (len(class_names) - len(cluster_names))
    best = max(
        (
            sum(len(members(classes, c) & members(clusters, k)) for c, k in zip(class_names, chosen, strict=True)),
            sum(f1_of(members(classes, c), members(clusters, k)) for c, k in zip(class_names, chosen, strict=True)),
        )
        for chosen in itertools.permutations(cluster_names, len(class_names))
    )
    return best[1] / len(class_names)


def f1_majority(classes: Labels, clusters: Labels) -> Fraction:
    hits, predicted, size = Counter(), Counter(), Counter(classes)
    for own, cluster in zip(classes, clusters, strict=True):
        votes = Counter(classes[i] for i in members(clusters, cluster))
        winners = [c for c, count in votes.items() if count == max(votes.values())]
        for winner in winners:
            predicted[winner] += Fraction(1, len(winners))
            hits[winner] += Fraction(own == winner, len(winners))
    return sum(2 * hits[c] / (predicted[c] + size[c]) for c in size) / len(size)


def f1_max_overlap(classes: Labels, clusters: Labels) -> Fraction:
    return sum(
        Fraction(count, len(classes)) * max(f1_of(members(classes, c), members(clusters, k)) for k in set(clusters))
        for c, count in Counter(classes).items()
    )


def pair_counts(classes: Labels, clusters: Labels) -> tuple[int, int, int, int]:
    """Numbers of pairs: together in both, in a class, in a cluster, and all pairs."""
    pairs = list(itertools.combinations(range(len(classes)), 2))
    same_class = {(i, j) for i, j in pairs if classes[i] == classes[j]}
    same_cluster = {(i, j) for i, j in pairs if clusters[i] == clusters[j]}
    return len(same_class & same_cluster), len(same_class), len(same_cluster), len(pairs)


def f1_pairwise(classes: Labels, clusters: Labels) -> Fraction:
    both, same_class, same_cluster, _ = pair_counts(classes, clusters)
    return Fraction(2 * both, same_class + same_cluster) if same_class + same_cluster else Fraction(1)


def f1_bcubed(classes: Labels, clusters: Labels) -> Fraction:
    precision = recall = Fraction(0)
    for own, cluster in zip(classes, clusters, strict=True):
        both = len(members(classes, own) & members(clusters, cluster))
        precision += Fraction(both, len(members(clusters, cluster)) * len(classes))
        recall += Fraction(both, len(members(classes, own)) * len(classes))
    return 2 * precision * recall / (precision + recall)


def purity(classes: Labels, clusters: Labels) -> Fraction:
    return Fraction(
        sum(max(Counter(classes[i] for i in members(clusters, k)).values()) for k in set(clusters)), len(classes)
    )


def ari(classes: Labels, clusters: Labels) -> Fraction:
    both, same_class, same_cluster, pairs = pair_counts(classes, clusters)
    expected = Fraction(same_class * same_cluster, pairs)
    most = Fraction(same_class + same_cluster, 2)
    return (both - expected) / (most - expected)


def entropy(labels: Sequence) -> float:
    return -sum(n / len(labels) * math.log(n / len(labels)) for n in Counter(labels).values())


def information(classes: Labels, clusters: Labels) -> float:
    return entropy(classes) + entropy(clusters) - entropy(list(zip(classes, clusters, strict=True)))


def ami(classes: Labels, clusters: Labels) -> float:
    """The expectation by chance is the mean over all permutations of the clusters."""
    by_chance = np.mean([information(classes, order) for order in itertools.permutations(clusters)])
    most = (entropy(classes) + entropy(clusters)) / 2
    return (information(classes, clusters) - by_chance) / (most - by_chance)


DEFINITIONS = (f1, f1_majority, f1_max_overlap, f1_pairwise, f1_bcubed, purity)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.__name__)
@few
@given(LABELINGS)
def test_scores_follow_their_definitions(definition: Callable, labelings: tuple[Labels, Labels]) -> None:
    """Breaks when a score confuses classes with clusters, uses wrong weights, or settles a tie by order."""
    assert score(definition.__name__, *labelings) == pytest.approx(float(definition(*labelings)), abs=1e-12)


@pytest.mark.parametrize("definition", [ari, ami], ids=lambda definition: definition.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_chance_adjusted_scores_follow_their_definitions(definition: Callable, seed: int) -> None:
    """Breaks when AMI is normalised by another mean than the arithmetic, or either is not adjusted for chance."""
    classes = [0, 0, 0, 1, 1, 2]
    clusters = np.random.default_rng(seed).permutation([0, 0, 1, 1, 2, 3]).tolist()
    assert score(definition.__name__, classes, clusters) == pytest.approx(
        float(definition(classes, clusters)), abs=1e-12
    )


@few
@given(LABELINGS)
def test_chance_adjusted_scores_are_scikit_learns_to_the_last_digit(labelings: tuple[Labels, Labels]) -> None:
    """In both orders, with the same sizes the other way round. Breaks when what is kept of one serves the other."""
    for classes, clusters in (labelings, labelings[::-1]):
        assert score("ari", classes, clusters) == adjusted_rand_score(classes, clusters)
        assert score("ami", classes, clusters) == adjusted_mutual_info_score(classes, clusters)


@few
@given(LABELINGS)
def test_pairwise_f1_is_ari_moved_towards_the_chance_of_pairs(labelings: tuple[Labels, Labels]) -> None:
    """F = ARI + (1 - ARI) H, where H is the harmonic mean of the fractions of pairs together in classes and clusters.

    So pairwise F1 cannot be the F1 of table 1.
    """
    _, same_class, same_cluster, pairs = pair_counts(*labelings)
    if same_class + same_cluster in (0, 2 * pairs):
        return  # ARI is 0 / 0 there, and 1 by convention
    fraction = Fraction(2 * same_class * same_cluster, pairs * (same_class + same_cluster))
    adjusted = score("ari", *labelings)
    assert score("f1_pairwise", *labelings) == pytest.approx(adjusted + (1 - adjusted) * float(fraction), abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
class TestEveryScore:
    @few
    @given(LABELINGS, st.permutations(range(5)), st.permutations(range(5)), st.randoms(use_true_random=False))
    def test_names_and_order_do_not_matter(self, name, labelings, class_names, cluster_names, random) -> None:
        order = list(range(len(labelings[0])))
        random.shuffle(order)
        renamed = [class_names[labelings[0][i]] for i in order], [10 * cluster_names[labelings[1][i]] for i in order]
        assert score(name, *renamed) == pytest.approx(score(name, *labelings), abs=1e-9)

    @few
    @given(LABELINGS)
    def test_bounds_and_type(self, name, labelings) -> None:
        value = score(name, *labelings)
        assert type(value) is float
        assert (-1 if name in ("ari", "ami") else 0) <= value <= 1 + 1e-12

    @few
    @given(LABELINGS)
    def test_identical_labelings_score_one(self, name, labelings) -> None:
        classes, _ = labelings
        assert score(name, classes, [9 - label for label in classes]) == pytest.approx(1)

    @pytest.mark.parametrize("labels", [[3], [1, 1, 1, 1], [0, 1, 2, 3]], ids=["single", "all in one", "singletons"])
    def test_identical_extremes_score_one(self, name, labels) -> None:
        assert score(name, labels, labels) == pytest.approx(1)

    def test_a_better_clustering_scores_higher(self, name) -> None:
        classes = [0, 0, 0, 1, 1, 1, 2, 2, 2]
        better, worse = [0, 0, 0, 1, 1, 1, 2, 2, 0], [0, 1, 2, 0, 1, 2, 0, 1, 2]
        assert score(name, classes, better) > score(name, classes, worse)


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        (
            [0, 0, 0, 0, 0, 0],
            {
                "f1": 1 / 3, "f1_majority": 1 / 2, "f1_max_overlap": 2 / 3, "f1_pairwise": 4 / 7, "f1_bcubed": 2 / 3,
                "purity": 1 / 2, "ari": 0, "ami": 0,
            },
        ),
        (
            [0, 1, 2, 3, 4, 5],
            {
                "f1": 1 / 2, "f1_majority": 1, "f1_max_overlap": 1 / 2, "f1_pairwise": 0, "f1_bcubed": 1 / 2,
                "purity": 1, "ari": 0, "ami": 0,
            },
        ),
    ],
    ids=["all in one", "singletons"],
)  # fmt: skip
def test_two_classes_of_three_by_hand(clusters: Labels, expected: dict[str, float]) -> None:
    assert score_all(np.array([0, 0, 0, 1, 1, 1]), np.array(clusters)) == pytest.approx(expected, abs=1e-12)


def test_a_tie_between_matchings_goes_to_the_better_f1() -> None:
    """Table [[2, 1], [1, 0]]: both matchings match two instances; their F1 are 2/3 and 0, or 1/2 and 1/2."""
    assert score("f1", [0, 0, 0, 1], [0, 0, 1, 0]) == pytest.approx(1 / 2)
    assert score("f1", [1, 1, 1, 0], [1, 1, 0, 1]) == pytest.approx(1 / 2)


def test_a_plain_hungarian_match_may_be_lower() -> None:
    """The same table: both matchings match two instances, so it takes either; ours is the higher F1 of the two."""
    table_CK, f1 = np.array([[2, 1], [1, 0]]), []
    for cluster in ([0, 1], [1, 0]):
        matched = table_CK[[0, 1], cluster]
        assert matched.sum() == 2
        f1.append((2 * matched / (table_CK.sum(axis=1) + table_CK.sum(axis=0)[cluster])).mean())
    assert f1 == pytest.approx([1 / 3, 1 / 2])
    assert f1_matched(table_CK) == f1_matched(table_CK[:, ::-1]) == pytest.approx(max(f1))


def test_matched_instances_come_before_f1() -> None:
    """Table [[4, 2], [1, 0]]: four matched instances with F1 8/11 and 0, or three with the better 1/2 and 1/3."""
    assert score("f1", [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1, 0]) == pytest.approx(4 / 11)
