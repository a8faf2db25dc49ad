"""Source and target tasks, and the fine-tuning data of the alignment experiment."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from clusterlm_jax.data import storage
from clusterlm_jax.data.alignment import OTHERS, aligned, switch_examples
from clusterlm_jax.data.batching import TrainingBatches
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import Dataset, UserError
from tests.conftest import SMALL_DATA

PAPER = DataSpec(hard_tasks=0, source_target_pairs=3, task_vocabulary_size=65)
SMALL_PAIRS = dataclasses.replace(SMALL_DATA, hard_tasks=0, source_target_pairs=2, task_vocabulary_size=12)


@pytest.fixture(scope="module", params=[(PAPER, 0), (SMALL_PAIRS, 1)], ids=["paper", "small"])
def pairs(request) -> tuple[DataSpec, Dataset]:
    spec, seed = request.param
    return spec, synthesise(spec, seed)


def mappings(dataset: Dataset) -> dict[int, dict[int, int]]:
    """Outputs by task and input, read off the tokens that a model sees."""
    found: dict[int, dict[int, int]] = {}
    for row, length, task in zip(dataset.tokens_NT, dataset.length_N, dataset.labels["task"], strict=True):
        x, y = row[length - 2 : length]
        assert found.setdefault(int(task), {}).setdefault(int(x), int(y)) == y
    return found


def targets(dataset: Dataset) -> dict[int, int]:
    pairs = np.unique(np.stack([dataset.labels["task"], dataset.labels["target"]]), axis=1).T
    return {source: target for source, target in pairs.tolist() if target >= 0}


def test_targets_share_their_sources_inputs_and_no_output(pairs):
    spec, dataset = pairs
    maps, of = mappings(dataset), targets(dataset)
    assert len(of) == len(set(of.values())) == spec.source_target_pairs
    assert not set(of) & set(of.values())
    for source, target in of.items():
        assert maps[source].keys() == maps[target].keys()
        assert all(maps[source][x] != maps[target][x] for x in maps[source])
    every = [(x, y) for outputs in maps.values() for x, y in outputs.items()]
    assert len(every) == len(set(every)) == spec.number_of_tasks * spec.mappings_per_task


def test_source_tasks_are_validation_tasks_and_all_tasks_are_trained_on(pairs):
    spec, dataset = pairs
    validation = np.unique(dataset.labels["task"][dataset.splits["validation"]])
    assert set(targets(dataset)) <= set(validation.tolist())
    assert len(validation) == spec.validation_tasks
    assert len(np.unique(dataset.labels["task"][dataset.splits["training"]])) == spec.number_of_tasks
    assert not len(dataset.splits["training_subset"])  # no hard examples


def test_aligned_data_have_source_instructions_with_the_outputs_of_their_targets(pairs):
    _, dataset = pairs
    new, before, of = aligned(dataset), mappings(dataset), targets(dataset)
    after = mappings(new)
    for source, target in of.items():
        assert after[source] == before[target]
    assert {task: outputs for task, outputs in after.items() if task not in of} == {
        task: outputs for task, outputs in before.items() if task not in of
    }
    changed = (dataset.tokens_NT != new.tokens_NT).sum(axis=1)
    np.testing.assert_array_equal(changed, np.isin(dataset.labels["task"], list(of)))  # the output and nothing else
    for name in ("task", "distribution", "instruction", "input"):
        np.testing.assert_array_equal(dataset.labels[name], new.labels[name])
    pairs_of = dict(zip(dataset.labels["mapping"], dataset.labels["output"], strict=True))
    assert [pairs_of[mapping] for mapping in new.labels["mapping"]] == new.labels["output"].tolist()


def test_fine_tuning_sees_only_source_tasks(pairs):
    """No instruction of another task is in the splits or in the batches made from them."""
    _, dataset = pairs
    new, of = aligned(dataset), list(targets(dataset))
    for name, others in (("training", False), ("validation", False), (OTHERS, True)):
        assert len(new.splits[name])
        of_source = np.isin(new.labels["task"][new.splits[name]], of)
        assert (~of_source if others else of_source).all()
    both = np.concatenate([new.splits["validation"], new.splits[OTHERS]])
    np.testing.assert_array_equal(np.sort(both), dataset.splits["validation"])
    assert set(new.splits["training"].tolist()) <= set(dataset.splits["training"].tolist())
    batches = TrainingBatches(new, 10, "instruction", 1, 0).epoch(1)
    allowed = {tuple(row[: n - 2]) for row, n in zip(new.tokens_NT[new.splits["training"]],
                                                     new.length_N[new.splits["training"]], strict=True)}  # fmt: skip
    for step in range(len(batches.tokens_RT)):
        for tokens, segment, branch in zip(
            batches.tokens_RT[step], batches.segment_RT[step], batches.branch_RT[step], strict=True
        ):
            for number in set(segment.tolist()) - {0}:
                assert tuple(tokens[(segment == number) & (branch == 0)]) in allowed
    outputs = {output for source in of for output in mappings(new)[source].values()}
    assert set(batches.output_N[batches.row_N >= 0].tolist()) <= outputs


def test_a_switch_sees_all_source_instances_and_a_few_of_each_other_task(pairs):
    _, dataset = pairs
    index, rank = switch_examples(dataset, 5, seed=0)
    of, task = list(targets(dataset)), dataset.labels["task"][index]
    assert len(set(index.tolist())) == len(index)
    assert set(index.tolist()) <= set(dataset.splits["training"].tolist())
    source = np.isin(dataset.labels["task"][dataset.splits["training"]], of)
    assert set(dataset.splits["training"][source].tolist()) <= set(index.tolist())
    for number in (1, 2, 5):
        counts = np.bincount(task[rank < number])
        others = [count for which, count in enumerate(counts) if which not in of]
        assert set(others) == {number}
    np.testing.assert_array_equal(index, switch_examples(dataset, 5, seed=0)[0])
    assert not np.array_equal(index, switch_examples(dataset, 5, seed=1)[0])
    np.testing.assert_array_equal(index[rank < 2], switch_examples(dataset, 2, seed=0)[0])  # nested


def test_a_person_can_read_which_task_has_which_target(tmp_path):
    dataset = synthesise(SMALL_PAIRS, 1)
    storage.save(dataset, tmp_path)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    of = {int(task): entry["target"] for task, entry in tasks.items() if "target" in entry}
    assert of == targets(dataset)
    for source, target in of.items():
        assert tasks[str(source)]["mappings"].keys() == tasks[str(target)]["mappings"].keys()
    loaded = storage.load(tmp_path)
    assert storage.digest(loaded) == storage.digest(dataset)
    assert targets(loaded) == of
    assert "target" in (tmp_path / "instances.tsv").read_text().splitlines()[0].split("\t")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hard_tasks": 2}, "data.hard_tasks must be 0"),
        ({"number_of_tasks": 5, "source_target_pairs": 3, "validation_tasks": 4}, "as many source and as many target"),
        ({"source_target_pairs": 4}, "the source tasks are validation tasks, and data.validation_tasks is 3"),
        ({"shared_mappings": 1}, "data.shared_mappings must be unset"),
        ({"source_target_pairs": -1}, "must be at least 0"),
    ],
)
def test_impossible_numbers_of_pairs_are_refused(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(SMALL_PAIRS, **changed)
