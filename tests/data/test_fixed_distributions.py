"""Given numbers of distributions: the sizes of table 2 come out, and all assignments are equally likely."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import re

import numpy as np
import pytest
from scipy.stats import chi2

from clusterlm_jax.data import storage
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import fixed_distribution_counts, synthesise
from clusterlm_jax.records import Dataset, UserError

TABLE_2 = DataSpec(number_of_distributions=156, validation_distributions=21, hard_distributions=6)
KEYS = ("number_of_distributions", "validation_distributions", "hard_distributions")


def distributions_of(dataset: Dataset, rows: np.ndarray | slice = slice(None)) -> dict[int, int]:
    """The number of distributions of each task among the instances `rows`."""
    pairs = {
        (int(task), int(distribution))
        for task, distribution in zip(*(dataset.labels[name][rows] for name in ("task", "distribution")), strict=True)
    }
    return collections.Counter(task for task, _ in pairs)


@pytest.mark.parametrize("shared_mappings", [None, 3])
@pytest.mark.parametrize("seed", range(10))
def test_table_2_comes_out(seed: int, shared_mappings: int | None) -> None:
    """The paper's 315 and 180 come out. Of its 7,300 training instances we get 7,275: 150 regular distributions of ten
    instructions and 5 mappings, minus the 315 for validation, plus 90 from six hard distributions of three."""
    dataset = synthesise(dataclasses.replace(TABLE_2, shared_mappings=shared_mappings), seed)
    splits = {name: len(index) for name, index in dataset.splits.items()}
    assert splits == {"training": 7275, "training_subset": 180, "validation": 315}
    count, labels = distributions_of(dataset), dataset.labels
    original_of = {
        task: original
        for task, original in zip(labels["task"].tolist(), labels["original"].tolist(), strict=True)
        if original >= 0
    }
    assert sorted(count) == list(range(50))
    assert sum(count.values()) == 156
    assert min(count.values()) >= 1
    assert max(count.values()) <= 6
    assert sum(distributions_of(dataset, dataset.splits["validation"]).values()) == 21
    assert sum(count[hard] for hard in original_of) == sum(count[original] for original in original_of.values()) == 6
    assert all(count[hard] == count[original] for hard, original in original_of.items())


@pytest.mark.parametrize(
    ("changed", "digest"),
    [
        ({}, "56e620f50050c524bad6546d828e18c95b7c08d6f92bc4ac0cd941d2f560f923"),
        ({"shared_mappings": 3}, "86ad6ca16e5bf46ea15e96e87f68eab20cc5dd04538c4f0f9134da38773306ff"),
        (
            {"hard_tasks": 0, "hard_distributions": 0, "source_target_pairs": 3, "task_vocabulary_size": 65},
            "b8000e6e2a96ca4b98d5a1b42082522eeacef42ef014374cb43953ccc3a19035",
        ),
    ],
)
def test_a_seed_keeps_its_data(changed: dict[str, int], digest: str) -> None:
    """Breaks when the order of draws changes: the same seed would give other data."""
    assert storage.digest(synthesise(dataclasses.replace(TABLE_2, **changed), 0)) == digest


def test_without_hard_tasks_or_validation_there_are_no_distributions_of_them() -> None:
    """Hard tasks are not allowed together with source and target tasks (table 8)."""
    pairs = dataclasses.replace(
        TABLE_2, hard_tasks=0, hard_distributions=0, source_target_pairs=3, task_vocabulary_size=65
    )
    dataset = synthesise(pairs, 1)
    assert sum(distributions_of(dataset).values()) == 156
    assert len(dataset.splits["validation"]) == 315
    neither = dataclasses.replace(
        TABLE_2, number_of_tasks=8, hard_tasks=0, validation_tasks=0, number_of_distributions=20,
        validation_distributions=0, hard_distributions=0,
    )  # fmt: skip
    dataset = synthesise(neither, 1)
    assert sum(distributions_of(dataset).values()) == 20
    assert len(dataset.splits["validation"]) == len(dataset.splits["training_subset"]) == 0


# Regular tasks, of 1 to 3 distributions each: the validation tasks, those that hard ones are made from, and the sums.
ROLES = {
    "overlapping": (5, {0, 1}, {1, 2}, (14, 4, 4)),
    "apart": (5, {0, 1}, {2, 3}, (15, 5, 4)),
    "the same": (4, {0, 3}, {3, 0}, (13, 4, 4)),
    "one inside the other": (4, {0, 1, 2}, {1}, (11, 6, 2)),
    "no hard ones": (4, {1, 3}, set(), (8, 3, 0)),
    "neither": (4, set(), set(), (7, 0, 0)),
    "one way only": (4, {0, 1}, {2}, (10, 6, 1)),
}


@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize("roles", ROLES)
def test_all_assignments_with_these_sums_are_equally_likely(roles: str, least: int, rng: np.random.Generator) -> None:
    """All assignments are enumerated and counted in 2000 draws; chi-square is below its 1 in 10,000 bound.

    Breaks when tasks are filled one after another, or when the tasks with both roles are drawn separately.
    """
    regular, validation, originals, (total, in_validation, in_hard) = ROLES[roles]
    if least == 2:  # one distribution more for each task; a hard one has its original's
        total += regular + len(originals)
        in_validation, in_hard = in_validation + len(validation), in_hard + len(originals)
    spec = DataSpec(
        number_of_tasks=regular + len(originals), hard_tasks=len(originals), validation_tasks=len(validation),
        min_distributions_per_task=least, max_distributions_per_task=least + 2, number_of_distributions=total,
        validation_distributions=in_validation, hard_distributions=in_hard,
    )  # fmt: skip
    possible = [
        counts
        for counts in itertools.product(range(least, least + 3), repeat=regular)
        if sum(counts) + sum(counts[task] for task in originals) == total
        and sum(counts[task] for task in validation) == in_validation
        and sum(counts[task] for task in originals) == in_hard
    ]
    drawn = collections.Counter(
        tuple(fixed_distribution_counts(spec, rng, frozenset(validation), frozenset(originals))) for _ in range(2000)
    )
    assert set(drawn) == set(possible)
    expected = 2000 / len(possible)
    assert expected > 20
    distance = sum((drawn[counts] - expected) ** 2 / expected for counts in possible)
    assert distance <= chi2.ppf(1 - 1e-4, len(possible) - 1) if len(possible) > 1 else distance == 0


@functools.cache
def ways(tasks: int, total: int) -> int:
    """The number of ways in which so many tasks of 1 to 6 distributions each have a total, as an exact integer."""
    return sum(ways(tasks - 1, total - count) for count in range(1, 7)) if tasks else int(total == 0)


def test_assignments_of_table_2_are_equally_likely(rng: np.random.Generator) -> None:
    """Too many assignments to enumerate, so two frequencies in 400 draws are compared with their exact chances.

    Task 9 has both roles and 1 or 2 distributions, because 5 originals have 6 in all. The 31 tasks without a role have
    12,400 counts in the draws. Both are within 4 standard deviations.
    """
    draws = [fixed_distribution_counts(TABLE_2, rng, frozenset(range(10)), frozenset(range(9, 14))) for _ in range(400)]
    counts_ST = np.array(draws)
    assert set(counts_ST.sum(axis=1)) == {150}
    assert set(counts_ST[:, :10].sum(axis=1)) == {21}
    assert set(counts_ST[:, 9:14].sum(axis=1)) == {6}
    number = {both: ways(9, 21 - both) * ways(4, 6 - both) * ways(31, 150 - 21 - 6 + both) for both in (1, 2)}
    share = number[1] / sum(number.values())
    assert 0.6 < share < 0.95
    assert (counts_ST[:, 9] == 1).mean() == pytest.approx(share, abs=4 * (share * (1 - share) / 400) ** 0.5)
    for count in range(1, 7):
        chance = ways(30, 124 - count) / ways(31, 124)
        found = (counts_ST[:, 14:] == count).mean()
        assert found == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 12_400) ** 0.5 + 0.003)


@pytest.mark.parametrize("given", [some for number in (1, 2) for some in itertools.combinations(KEYS, number)])
def test_giving_only_some_of_the_three_is_refused(given: tuple[str, ...]) -> None:
    """The message names the first missing one and its bounds. Breaks when a missing one means a free draw."""
    missing = next(key for key in KEYS if key not in given)
    with pytest.raises(UserError, match=rf"^data\.{missing} is 0, but .*or all three to 0 for a free draw"):
        DataSpec(**{key: getattr(TABLE_2, key) for key in given})


@pytest.mark.parametrize(
    ("key", "value", "bounds"),
    [
        ("number_of_distributions", 49, "50 tasks of 1 to 6 distributions each have 50 to 300"),
        ("number_of_distributions", 301, "50 tasks of 1 to 6 distributions each have 50 to 300"),
        ("validation_distributions", 9, "10 tasks of 1 to 6 distributions each have 10 to 60"),
        ("validation_distributions", 61, "10 tasks of 1 to 6 distributions each have 10 to 60"),
        ("hard_distributions", 0, "5 tasks of 1 to 6 distributions each have 5 to 30"),
        ("hard_distributions", 31, "5 tasks of 1 to 6 distributions each have 5 to 30"),
        ("validation_distributions", 0, "10 tasks of 1 to 6 distributions each have 10 to 60"),
        ("number_of_distributions", -1, "it must be at least 0"),
        ("hard_distributions", -1, "it must be at least 0"),
        ("validation_distributions", -1, "it must be at least 0"),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_its_name(key: str, value: int, bounds: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"data.{key} is {value}") + ".*" + re.escape(bounds)):
        dataclasses.replace(TABLE_2, **{key: value})


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"min_distributions_per_task": 3}, "data.validation_distributions is 21, but 10 tasks of 3 to 6"),
        ({"max_distributions_per_task": 2}, "data.number_of_distributions is 156, but 50 tasks of 1 to 2"),
        ({"hard_tasks": 0}, "data.hard_distributions is 6, but 0 tasks of 1 to 6 distributions each have 0 to 0"),
        ({"validation_tasks": 0}, "data.validation_distributions is 21, but 0 tasks"),
    ],
)
def test_bounds_follow_the_tasks_and_their_distributions(changed: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        dataclasses.replace(TABLE_2, **changed)


@pytest.mark.parametrize(
    "sums",
    [
        (60, 60, 6),  # the validation tasks alone have more than all regular ones
        (300, 60, 5),  # the originals have 1 each, so no 270 regular ones
        (56, 10, 30),  # the originals alone have more than all regular ones
    ],
)
def test_sums_that_do_not_fit_together_are_refused_by_name(sums: tuple[int, int, int]) -> None:
    spec = dataclasses.replace(TABLE_2, **dict(zip(KEYS, sums, strict=True)))
    with pytest.raises(UserError, match="do not fit together") as refusal:
        synthesise(spec, 0)
    for key, value in zip(KEYS, sums, strict=True):
        assert f"data.{key} = {value}" in str(refusal.value)


def test_whether_sums_fit_together_may_depend_on_the_roles() -> None:
    """The validation task has 6 distributions, the original 1. Seeds that draw the same task for both are refused."""
    spec = DataSpec(
        number_of_tasks=4, hard_tasks=1, validation_tasks=1, number_of_distributions=10, validation_distributions=6,
        hard_distributions=1,
    )  # fmt: skip
    refused = 0
    for seed in range(12):
        try:
            dataset = synthesise(spec, seed)
        except UserError as refusal:
            assert "do not fit together" in str(refusal)
            refused += 1
        else:
            assert sum(distributions_of(dataset).values()) == 10
            assert len(dataset.splits["validation"]) == 6 * 3 * 5
    assert 0 < refused < 12
