"""Natural-language prompts: their composition, the files they come from, and saving and loading them."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.data.natural.prompts import FILE_OF, TASKS, NaturalSpec, compose, read_task
from clusterlm_jax.records import Prompts, UserError

SMALL = NaturalSpec(wordings_per_task=3, mappings_per_task=4)


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return compose(SMALL, 0)


def rows(prompts: Prompts) -> list[tuple[str, ...]]:
    """(category, task, input, output) of each prompt, by the names of its labels."""
    columns = ("task", "distribution", "input", "output")
    named = ([prompts.names[column][number] for number in prompts.labels[column]] for column in columns)
    return list(zip(*named, strict=True))


def drawn_pairs(prompts: Prompts) -> dict[str, set[tuple[str, str]]]:
    found = collections.defaultdict(set)
    for _, task, x, y in rows(prompts):
        found[task].add((x, y))
    return found


def drawn_wordings(prompts: Prompts) -> set[str]:
    return {text.removesuffix(f" {x}") for text, (_, _, x, _) in zip(prompts.texts, rows(prompts), strict=True)}


def write_wordings(path: Path, changed: dict) -> Path:
    """A user's file with three wordings of every task, except for the tasks in `changed`."""
    wordings = {stem: [f"Do {stem}, way {number}:" for number in range(3)] for stem in TASKS} | changed
    path.write_text(json.dumps(wordings), encoding="utf-8")
    return path


def test_a_prompt_is_a_wording_a_space_and_an_input(prompts):
    """Every wording of a task occurs with every pair of the task exactly once."""
    texts = set()
    for stem in TASKS:
        task = read_task(stem)
        own = [text for text, row in zip(prompts.texts, rows(prompts), strict=True) if row[1] == task.task]
        pairs = drawn_pairs(prompts)[task.task]
        wordings = {text.rpartition(" ")[0] for text in own}
        assert set(own) == {f"{wording} {x}" for wording in wordings for x, _ in pairs}
        assert len(own) == len(set(own)) == 3 * 4
        assert wordings <= set(task.wordings)
        assert pairs <= set(task.pairs.items())
        assert {row[0] for row in rows(prompts) if row[1] == task.task} == {task.category}
        texts |= set(own)
    assert len(texts) == len(prompts) == 16 * 3 * 4


def test_labels_are_numbered_by_first_appearance_and_match_the_texts(prompts):
    for column, label_N in prompts.labels.items():
        assert label_N.dtype == np.int32
        first = list(dict.fromkeys(label_N.tolist()))
        assert first == list(range(len(first))), column
        assert column == "instruction" or len(set(prompts.names[column])) == len(prompts.names[column]) == len(first)
    for index, (text, (_, _, x, y)) in enumerate(zip(prompts.texts, rows(prompts), strict=True)):
        assert text.endswith(f" {x}")
        assert prompts.names["mapping"][prompts.labels["mapping"][index]] == f"{x} -> {y}"
    wordings = [text.rpartition(" ")[0] for text in prompts.texts]
    assert len(set(zip(wordings, prompts.labels["instruction"].tolist(), strict=True))) == len(set(wordings)) == 16 * 3


def test_a_pair_of_two_tasks_is_one_mapping(tmp_path):
    """Hendel et al. have `bring -> brought` in both past simple and past perfect: one mapping in two tasks."""
    pairs = {"bring": "brought"} | {f"word{number}": f"other{number}" for number in range(3)}
    for stem in TASKS:
        path = tmp_path / FILE_OF[stem]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(pairs))
    prompts = compose(NaturalSpec(mappings_dir=str(tmp_path), mappings_per_task=4), 0)
    assert len(prompts.names["mapping"]) == 4
    assert len(set(zip(*(prompts.labels[c].tolist() for c in ("distribution", "mapping")), strict=True))) == 16 * 4


def test_the_seed_draws_pairs_and_wordings():
    """Over many seeds, everything in a file is drawn. Breaks when always the first ones are taken."""
    pairs, wordings = collections.defaultdict(set), set()
    for seed in range(60):
        prompts = compose(NaturalSpec(wordings_per_task=10), seed)
        for task, found in drawn_pairs(prompts).items():
            assert len(found) == 10
            pairs[task] |= found
        wordings |= drawn_wordings(prompts)
    for stem in TASKS:
        task = read_task(stem)
        assert pairs[task.task] == set(task.pairs.items())
        assert set(task.wordings) <= wordings


def test_tasks_have_their_own_random_streams():
    """One more wording of every task does not change the pairs, and tasks draw different places of their files."""
    more = compose(NaturalSpec(wordings_per_task=4, mappings_per_task=4), 0)
    assert drawn_pairs(more) == drawn_pairs(compose(SMALL, 0))
    places = {
        tuple(index for index, pair in enumerate(read_task(stem).pairs.items()) if pair in drawn)
        for stem, drawn in zip(TASKS, drawn_pairs(more).values(), strict=True)
    }
    assert len(places) > 8


def test_outputs_of_our_pairs_are_spread():
    task = read_task("location_continent")
    for seed in range(5):
        outputs = collections.Counter(y for _, y in drawn_pairs(compose(NaturalSpec(), seed))[task.task])
        pool = collections.Counter(task.pairs.values())
        assert all(times >= min(pool[output], max(outputs.values()) - 1) for output, times in outputs.items())
        assert set(outputs) == set(pool)


def test_a_user_s_wordings_replace_ours(tmp_path):
    changed = {"antonyms": [" Opposite of\n", "The contrary of", "Not"]}
    spec = NaturalSpec(wordings=str(write_wordings(tmp_path / "own.json", changed)), wordings_per_task=2)
    found = drawn_wordings(compose(spec, 0))
    assert len(found) == 16 * 2
    expected = [f"Do {stem}, way {n}:" for stem in TASKS for n in range(3)]
    assert found <= {*expected, "Opposite of", "The contrary of", "Not"}


def test_hendel_et_al_s_files_replace_our_pairs(tmp_path):
    """Our pairs in their layout, mixed with some unusable pairs, give the same prompts."""
    for stem in TASKS:
        task = read_task(stem)
        path = tmp_path / FILE_OF[stem]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"two words": "one", "same": "same"} | task.pairs), encoding="utf-8")
    read = compose(NaturalSpec(mappings_dir=str(tmp_path)), 0)
    assert natural.digest(read) == natural.digest(compose(NaturalSpec(), 0))


@pytest.mark.parametrize("key", ["wordings_per_task", "mappings_per_task"])
def test_counts_are_at_least_one(key):
    with pytest.raises(UserError, match=f"data.{key} is 0; it must be at least 1"):
        NaturalSpec(**{key: 0})


def test_too_few_are_refused(tmp_path):
    ours = natural.DIRECTORY / FILE_OF["fr_en"]
    for key, given, found in (("wordings_per_task", 56, "55 usable wordings"), ("mappings_per_task", 20, "14 usable")):
        with pytest.raises(UserError, match=re.escape(f"data.{key} is {given}, but {ours} has only {found}")):
            compose(NaturalSpec(**{key: given}), 0)
    path = write_wordings(tmp_path / "own.json", {"en_it": ["Say it in Italian:"]})
    with pytest.raises(UserError, match=rf"{path} has only 1 usable wordings for English to Italian \(en_it\)"):
        compose(NaturalSpec(wordings=str(path), wordings_per_task=3), 0)
    (hendel := tmp_path / "translation" / "fr_en.json").parent.mkdir()
    hendel.write_text('{"chien": "dog", "pomme de terre": "potato"}')
    with pytest.raises(UserError, match=f"{hendel} has only 1 usable pairs of one word to one word"):
        compose(NaturalSpec(mappings_dir=str(tmp_path)), 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file"),
        ("", "is empty; it must hold a JSON object {task: [wording, ...]}"),
        ("{}", "has only 0 usable wordings for French to English (fr_en)"),
        ("Translate:", "is damaged (line 1"),
        ("\xff", "cannot be read"),
        ("[]", "holds a list; it must hold a JSON object"),
        ('{"fr-en": []}', "has wordings of 'fr-en', which is not a task: did you mean fr_en?"),
        ('{"cooking": []}', "has wordings of 'cooking', which is not a task: allowed: fr_en, en_fr,"),
        ('{"fr_en": "Translate:"}', "must give the wordings of fr_en as a list of texts"),
        ('{"fr_en": ["Translate:", 7]}', "must give the wordings of fr_en as a list of texts"),
        ('{"fr_en": ["Translate:", " \\n"]}', "has a blank wording of fr_en, number 2"),
        ('{"fr_en": ["Say", " Say "]}', "has the wording 'Say' twice, for fr_en and for fr_en"),
        ('{"fr_en": ["Say"], "es_en": ["Say"]}', "has the wording 'Say' twice, for fr_en and for es_en"),
    ],
)
def test_a_wordings_file_that_cannot_be_used_is_refused(tmp_path, content, sentence):
    path = tmp_path / "own.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=re.escape(sentence)) as raised:
        compose(NaturalSpec(wordings=str(path)), 0)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("pair", "what"), [(("ice cream", "glace"), "input"), (("potato", "pomme de terre"), "output")]
)
def test_an_input_or_output_of_two_words_is_refused(tmp_path, monkeypatch, pair, what):
    directory = shutil.copytree(natural.DIRECTORY, tmp_path / "tasks")
    path = directory / FILE_OF["en_fr"]
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"pairs": content["pairs"] | dict([pair])}), encoding="utf-8")
    monkeypatch.setattr(natural, "DIRECTORY", directory)
    sentence = f"{path} has the pair {pair[0]!r} -> {pair[1]!r}, whose {what} is not one word"
    with pytest.raises(UserError, match=sentence):
        compose(NaturalSpec(), 0)


def test_round_trip(prompts, tmp_path):
    path = tmp_path / "prompts.jsonl"
    natural.save(prompts, path)
    loaded = natural.load(path)
    assert loaded.texts == prompts.texts
    assert loaded.names == prompts.names
    assert loaded.labels.keys() == prompts.labels.keys()
    for column, label_N in prompts.labels.items():
        np.testing.assert_array_equal(loaded.labels[column], label_N)
    assert natural.digest(loaded) == natural.digest(prompts) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_person_can_read_the_file(prompts, tmp_path):
    natural.save(prompts, tmp_path / "prompts.jsonl")
    lines = (tmp_path / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "\\u" in line] == []  # an accent is written as itself
    records = [json.loads(line) for line in lines]
    assert all(list(record) == ["category", "task", "wording", "input", "output"] for record in records)
    assert [f"{record['wording']} {record['input']}" for record in records] == list(prompts.texts)


@pytest.mark.parametrize(
    ("line", "put"),
    [
        (1, b""),
        (2, b'{"category": "Knowledge"}'),
        (3, b"[1]"),
        (4, b'{"category": 1, "task": "", "wording": "", "input": "", "output": ""}'),
        (5, b'"\xff"'),
        (6, None),  # repeats the first line
    ],
)
def test_damaged_prompts_are_named_with_their_line(prompts, tmp_path, line, put):
    path = tmp_path / "prompts.jsonl"
    natural.save(prompts, path)
    lines = path.read_bytes().splitlines()
    lines[line - 1] = lines[0] if put is None else put
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=rf"{path} are damaged \(line {line}\)"):
        natural.load(path)


def test_missing_torn_and_empty_prompts_are_named(prompts, tmp_path):
    path = tmp_path / "prompts.jsonl"
    with pytest.raises(UserError, match=f"no prompts at {path}: run the 'data' stage"):
        natural.load(path)
    natural.save(prompts, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=rf"damaged \(line {len(prompts)}\)"):
        natural.load(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"damaged \(line 1\)"):
        natural.load(path)


def test_statistics(prompts):
    assert natural.statistics(prompts) == {
        "test": 192,
        "tasks": 16,
        "categories": 3,
        "wordings": 48,
        "mappings": 64,
        "sha256": natural.digest(prompts),
        "names": {
            "task": ["Translation", "Linguistic", "Knowledge"],
            "distribution": [read_task(stem).task for stem in TASKS],
        },
    }


SCRIPT = "from clusterlm_jax.data.natural.prompts import *; print(digest(compose(NaturalSpec(), 7)))"


def test_same_bytes_in_any_process():
    """Under two hash seeds. Breaks when the order of a set of strings decides an order."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {natural.digest(compose(NaturalSpec(), 7)) + "\n"}
