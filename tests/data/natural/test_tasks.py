"""The shipped wordings and pairs belong to the tasks of table 10 and are as varied as if many people wrote them."""

from __future__ import annotations

import collections
import itertools
import re
import statistics

import pytest

from clusterlm_jax.data.natural.prompts import DIRECTORY, FILE_OF, TASKS, NaturalSpec, compose, read_task

TABLE_10 = """\
Translation	French to English	Given a word in French, translate to English
Translation	English to French	Given a word in English, translate to French
Translation	Spanish to English	Given a word in Spanish, translate to English
Translation	English to Spanish	Given a word in English, translate to Spanish
Translation	Italian to English	Given a word in Italian, translate to English
Translation	English to Italian	Given a word in English, translate to Italian
Linguistic	Antonyms	Given an English adjective, output an antonym
Linguistic	plural to Singular	Given an English noun in plural form, output the singular form
Linguistic	Singular to plural	Given an English noun in singular form, output the plural form
Linguistic	Present to gerund	Given an English verb in present simple tense, output the corresponding gerund form
Linguistic	Present to past perfect	Given an English verb in present simple tense, output the corresponding verb in past perfect
Linguistic	Present to past simple	Given an English verb in present simple tense, output the corresponding verb in past simple
Knowledge	Country to Capital	Given a name of a country, output the name of the capital city
Knowledge	Location to continent	Given a name of a location, output the name of its continent
Knowledge	Religion	Given a name of a location or a person, output the associated religion
Knowledge	Person to Language	Given a name of a person, output their native language
"""  # noqa: E501

# Tasks with few possible answers: continents, religions, languages.
CLOSED = {"location_continent", "location_religion", "person_language"}
TRANSLATION = [stem for stem in TASKS if read_task(stem).category == "Translation"]


def words_of(text: str) -> list[str]:
    """Runs of letters, in lower case."""
    return re.findall(r"[^\W\d_]+", text.lower())


ALL = [(stem, wording) for stem in TASKS for wording in read_task(stem).wordings]
# Words that name a task. Two wordings that differ only in them are one template with the name swapped.
NAMES = {
    *words_of(" ".join(line.split("\t")[1] for line in TABLE_10.splitlines())),
    *words_of("France Spain Italy antonym opposite plurals singulars gerunds participle tense countries capitals city"),
    *words_of("place locations continents religions faith languages tongue"),
}


@pytest.fixture(scope="module", params=TASKS)
def stem(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def wordings(stem) -> list[str]:
    return read_task(stem).wordings


@pytest.fixture(scope="module")
def pairs(stem) -> dict[str, str]:
    return read_task(stem).pairs


def too_many(values, most: int) -> dict:
    """The values that occur more than `most` times, with their numbers of occurrences."""
    return {value: times for value, times in collections.Counter(values).items() if times > most}


def test_names_and_descriptions_are_table_10_s():
    tasks = [read_task(stem) for stem in TASKS]
    assert [f"{task.category}\t{task.task}\t{task.description}" for task in tasks] == TABLE_10.splitlines()
    assert {path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.*")} == set(FILE_OF.values())


def test_a_task_is_in_the_folder_of_its_category(stem):
    """As in Hendel et al.'s directory."""
    assert FILE_OF[stem] == f"{read_task(stem).category.lower()}/{stem}.json"


def test_there_are_55_plain_wordings_of_many_lengths(wordings):
    lengths = [len(words_of(wording)) for wording in wordings]
    assert len(set(wordings)) == len(wordings) == 55
    assert [wording for wording, length in zip(wordings, lengths, strict=True) if not 3 <= length <= 35] == []
    assert statistics.stdev(lengths) >= 3
    untidy = re.compile(r"^\s|\s$|\s\s|[^\S ]|[\u2018\u2019\u201c\u201d]")
    assert [wording for wording in wordings if untidy.search(wording)] == []


def test_wordings_share_few_words(wordings):
    """Breaks when wordings are made from one template with a few words swapped."""
    sets = {wording: set(words_of(wording)) for wording in wordings}
    similarity = {pair: len(sets[pair[0]] & sets[pair[1]]) / len(sets[pair[0]] | sets[pair[1]]) for pair in both(sets)}
    assert {pair: value for pair, value in similarity.items() if value > 0.6} == {}
    assert statistics.mean(similarity.values()) <= 0.22


def test_no_wording_is_another_with_one_word_swapped(wordings):
    swapped = [
        (first, second)
        for first, second in both(wordings)
        if len(words_of(first)) == len(words_of(second))
        and sum(a != b for a, b in zip(words_of(first), words_of(second), strict=True)) <= 1
    ]
    assert swapped == []


def both(wordings) -> list[tuple[str, str]]:
    return list(itertools.combinations(wordings, 2))


@pytest.mark.parametrize(("length", "most"), [(1, 5), (2, 2), (3, 1)])
def test_wordings_open_in_many_ways(wordings, length, most):
    assert too_many((tuple(words_of(wording)[:length]) for wording in wordings), most) == {}


def test_wordings_end_in_many_ways(wordings):
    assert too_many((words_of(wording)[-1] for wording in wordings), 8) == {}


def test_wordings_give_no_example_and_no_answer(wordings, pairs):
    told = {word.lower() for pair in pairs.items() for word in pair}
    assert [wording for wording in wordings if told & set(words_of(wording))] == []


@pytest.mark.parametrize("translation", TRANSLATION)
def test_a_translation_names_both_languages(translation):
    task = read_task(translation)
    languages = set(task.task.split(" to "))
    assert [wording for wording in task.wordings if not languages <= set(re.findall(r"\w+", wording))] == []


def test_no_two_tasks_share_a_wording_not_even_under_other_names():
    assert len({wording for _, wording in ALL}) == len(ALL) == 880
    assert too_many((tuple("_" if word in NAMES else word for word in words_of(w)) for _, w in ALL), 1) == {}


def test_pairs_are_single_words_and_never_alike(pairs):
    assert len(pairs) >= 10
    assert [pair for pair in pairs.items() if not all(map(str.isalpha, pair))] == []
    assert [pair for pair in pairs.items() if pair[0].lower() == pair[1].lower()] == []
    assert too_many((x.lower() for x in pairs), 1) == {}


def test_outputs_are_spread(stem, pairs):
    assert too_many(pairs.values(), 3 if stem in CLOSED else 1) == {}
    assert len(set(pairs.values())) >= 5


def test_no_pair_is_of_two_tasks():
    """So any ten pairs of each task are 160 mappings in all."""
    assert too_many((pair for stem in TASKS for pair in read_task(stem).pairs.items()), 1) == {}


def test_together_they_are_the_paper_s_8_800():
    prompts = compose(NaturalSpec(), 0)
    assert len(prompts) == len(set(prompts.texts)) == 8800
    counts = {"task": 3, "distribution": 16, "mapping": 160, "instruction": 880}
    for column, count in counts.items():
        assert sorted(set(prompts.labels[column].tolist())) == list(range(count))
    for column in ("distribution", "mapping", "instruction"):
        assert set(collections.Counter(prompts.labels[column].tolist()).values()) == {8800 // counts[column]}
    lines = [line.split("\t") for line in TABLE_10.splitlines()]
    assert prompts.names["task"] == ("Translation", "Linguistic", "Knowledge")
    assert prompts.names["distribution"] == tuple(task for _, task, _ in lines)
